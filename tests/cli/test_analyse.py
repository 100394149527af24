"""``espdl analyse``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command
from tests.quantize.unequal import samples, unequal


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that loses and its calibration data."""
    directory = tmp_path_factory.mktemp("analyse")
    onnx.save(unequal(), directory / "net.onnx")
    np.save(directory / "data.npy", np.concatenate(samples(5)))
    return directory


@pytest.fixture
def quantized(files: Path, espdl: Command) -> Path:
    (files / "plain.toml").write_text('preset = "esp_ppq"\n')
    data, recipe = files / "data.npy", files / "plain.toml"
    espdl(
        *("quantize", files / "net.onnx", "-o", files / "net.espdl", "--target", "esp32s3", "--calib", data, "--setting", recipe)
    )
    return files / "net.espdl"


def test_tables_and_advice(files: Path, quantized: Path, espdl: Command) -> None:
    recipe = files / "plain.toml"
    result = espdl("analyse", files / "net.onnx", quantized, "--data", files / "data.npy", "--setting", recipe)
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 100
    for part in ("Graphwise", "Layerwise", "Conv_c1:", "float range", "What to turn", "+", "channel_balancing = true"):
        assert part in result.out
    assert "5 samples" in result.out and "esp32s3, 8 bits" in result.out


def test_json_has_everything(files: Path, quantized: Path, espdl: Command) -> None:
    options = ("--data", files / "data.npy", "--steps", "3", "--setting", files / "plain.toml", "--json")
    found = espdl("analyse", files / "net.onnx", quantized, *options).json
    assert found["samples"].startswith("3 samples")
    assert set(found["graphwise"]) == set(found["layerwise"]) == {"Conv_c0", "Conv_c1"}
    assert found["outputs"]["y"]["noise_to_signal"] > 0.01
    assert {row["name"] for row in found["statistics"]} == {"x", "r0", "y"}
    best = found["advice"]["changes"][0]
    assert best["gain_db"] > 3 and tomllib.loads(best["recipe"])


def test_a_file_made_with_a_recipe_is_analysed_with_it(files: Path, espdl: Command) -> None:
    recipe = files / "recipe.toml"
    recipe.write_text("channel_split = true\n[channel_split_setting]\nvalue_threshold = 0.7\niterations = 2\n")
    out, data = files / "split.espdl", files / "data.npy"
    made = espdl("quantize", files / "net.onnx", "-o", out, "--target", "esp32p4", "--calib", data, "--setting", recipe)
    assert made.code == 0
    found = espdl("analyse", files / "net.onnx", out, "--data", data, "--setting", recipe, "--json")
    assert found.code == 0 and all(value < 0.5 for value in found.json["layerwise"].values())


def test_a_balanced_file_is_analysed_by_what_lies_beside_it(files: Path, espdl: Command) -> None:
    out, data = files / "default.espdl", files / "data.npy"
    assert espdl("quantize", files / "net.onnx", "-o", out, "--target", "esp32p4", "--calib", data).code == 0
    found = espdl("analyse", files / "net.onnx", out, "--data", data, "--steps", "2", "--json").json
    assert all(value < 0.002 for value in (*found["graphwise"].values(), *found["layerwise"].values()))
    assert all(row["noise_to_signal"] < 0.002 for row in found["statistics"])
    out.with_suffix(".json").rename(files / "elsewhere.json")
    lost = espdl("analyse", files / "net.onnx", out, "--data", data)
    assert lost.code == 1 and "scaled" in lost.err and "default.json" in lost.err


def test_nothing_to_turn_at_16_bits(files: Path, espdl: Command) -> None:
    out, data = files / "wide.espdl", files / "data.npy"
    espdl("quantize", files / "net.onnx", "-o", out, "--target", "esp32s3", "--calib", data, "--bits", "16")
    result = espdl("analyse", files / "net.onnx", out, "--data", data)
    assert "16 bits" in result.out and "nothing. Less than 1 %" in result.out


def test_what_does_not_fit_is_told(files: Path, quantized: Path, network: Path, espdl: Command) -> None:
    wrong = espdl("analyse", network, quantized, "--data", files / "data.npy")
    assert wrong.code == 1 and "input" in wrong.err
    assert espdl("analyse", files / "net.onnx", quantized, "--data", files / "nothing.npy").code == 1
    assert espdl("analyse", files / "net.onnx", "--data", files / "data.npy").code == 2
