"""``espdl run``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dl.arrays import load_arrays, save_arrays
from tests.cli.conftest import Command


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in.npz"
    np.savez(path, image=np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1))
    return path


def test_float_input_is_quantized_and_outputs_are_raw(espdl: Command, digits: Path, image: Path, tmp_path: Path) -> None:
    result = espdl("run", digits, "--inputs", image, "--outputs", tmp_path / "sub/out.npz", "--json")
    assert result.code == 0
    assert result.json["target"] == "esp32s3"
    assert result.json["runs"] == 1
    written = load_arrays(tmp_path / "sub/out.npz")
    assert written.keys() == {"logits"}
    assert written["logits"].dtype == np.int8
    expected = Model(digits).run_arrays(load_arrays(image))
    np.testing.assert_array_equal(written["logits"], expected["logits"])


def test_raw_input_gives_the_same(espdl: Command, digits: Path, image: Path, tmp_path: Path) -> None:
    model = Model(digits)
    exponent = int(model.get_input().exponent)
    raw = np.clip(np.floor(load_arrays(image)["image"] * 2.0**-exponent + 0.5), -128, 127).astype(np.int8)
    save_arrays(tmp_path / "raw.npz", {"image": raw})
    for name, source in (("a", image), ("b", tmp_path / "raw.npz")):
        assert espdl("run", digits, "--inputs", source, "--outputs", tmp_path / f"{name}.npz").code == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("options", [["--arithmetic", "reference"], ["--backend", "numpy"], ["--target", "esp32s3"]])
def test_options_are_used(espdl: Command, digits: Path, image: Path, tmp_path: Path, options: list[str]) -> None:
    result = espdl("run", digits, "--inputs", image, "--outputs", tmp_path / "out.npz", "--json", *options)
    assert result.json[options[0].removeprefix("--")] == options[1]


def test_all_writes_every_variable(espdl: Command, digits: Path, image: Path, tmp_path: Path) -> None:
    result = espdl("run", digits, "--inputs", image, "--outputs", tmp_path / "out.npz", "--all")
    assert result.code == 0
    written = load_arrays(tmp_path / "out.npz")
    assert written.keys() == set(Model(digits).variable_names)
    assert {"image", "logits"} < written.keys()


def test_longer_input_is_several_runs(espdl: Command, digits: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(3).random((4, 8, 8, 1), np.float32)
    np.savez(tmp_path / "four.npz", image=images)
    np.savez(tmp_path / "last.npz", image=images[3:])
    four = espdl("run", digits, "--inputs", tmp_path / "four.npz", "--outputs", tmp_path / "a.npz", "--json")
    espdl("run", digits, "--inputs", tmp_path / "last.npz", "--outputs", tmp_path / "b.npz")
    assert four.json["runs"] == 4
    np.testing.assert_array_equal(load_arrays(tmp_path / "a.npz")["logits"], load_arrays(tmp_path / "b.npz")["logits"])


@pytest.mark.parametrize(
    "arrays",
    [
        {"picture": np.zeros((1, 8, 8, 1), np.float32)},
        {"image": np.zeros((1, 8, 8), np.float32)},
        {"image": np.zeros((1, 1, 8, 8), np.float32)},
        {"image": np.zeros((0, 8, 8, 1), np.float32)},
        {"image": np.zeros((1, 8, 8, 1), np.int16)},
        {"image": np.zeros((1, 8, 8, 1), np.float32), "more": np.zeros(1)},
        {},
    ],
    ids=["name", "rank", "order", "empty", "type", "extra", "none"],
)
def test_wrong_inputs_are_told_with_those_wanted(
    espdl: Command, digits: Path, tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    np.savez(tmp_path / "in.npz", **arrays)
    result = espdl("run", digits, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert result.code == 1
    assert "image" in result.err
    assert not (tmp_path / "out.npz").exists()


def test_file_for_another_chip_is_refused(espdl: Command, digits: Path, image: Path, tmp_path: Path) -> None:
    result = espdl("run", digits, "--inputs", image, "--outputs", tmp_path / "out.npz", "--target", "esp32c3")
    assert result.code == 1
    assert "cannot run on esp32c3" in result.err


def test_inputs_that_are_no_arrays(espdl: Command, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "in.npz").write_bytes(b"PK nothing")
    result = espdl("run", digits, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert result.code == 1
    assert "in.npz" in result.err


@pytest.mark.parametrize(
    "run", ["s3_tutorial_streaming_model_random", "p4_tutorial_streaming_model_random", "s3_tutorial_model_random"]
)
def test_runs_of_the_real_runtime_are_reproduced(espdl: Command, conformance: Path, tmp_path: Path, run: str) -> None:
    golden = np.load(conformance / f"golden/{run}.npz")
    with open(conformance / "golden/INDEX.csv", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["file"] == f"{run}.npz")
    save_arrays(tmp_path / "in.npz", {name[3:]: golden[name] for name in golden if name.startswith("in:")})
    arguments = ["--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz", "--target", row["target"], "--json"]
    result = espdl("run", conformance / row["model"], *arguments, "--arithmetic", "reference")
    assert result.code == 0
    assert result.json["runs"] == json.loads(str(golden["meta"]))["steps"]
    written = load_arrays(tmp_path / "out.npz")
    assert {f"out:{name}" for name in written} == {name for name in golden if name.startswith("out:")}
    for name, array in written.items():
        np.testing.assert_array_equal(array, golden[f"out:{name}"].reshape(-1, *array.shape)[-1])


@pytest.mark.parametrize("which", ["model", "inputs"])
def test_what_is_read_is_not_written(espdl: Command, digits: Path, image: Path, which: str) -> None:
    place = digits if which == "model" else image
    before = place.read_bytes()
    result = espdl("run", digits, "--inputs", image, "--outputs", place)
    assert result.code == 1
    assert "this file is read, so it cannot be written" in result.err
    assert place.read_bytes() == before


def test_inputs_that_are_no_numbers(espdl: Command, digits: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", image=np.full((1, 8, 8, 1), np.nan, np.float32))
    result = espdl("run", digits, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert result.code == 1
    assert "input 'image' is given 64 values that are not a number" in result.err
    assert not (tmp_path / "out.npz").exists()


def test_batch_writes_every_run(espdl: Command, digits: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    np.savez(tmp_path / "in.npz", image=images)
    result = espdl("run", digits, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz", "--batch", "--json")
    assert result.code == 0
    assert result.json["runs"] == 3
    model = Model(digits)
    expected = np.stack([model.run_arrays({"image": image[None]})["logits"] for image in images])
    np.testing.assert_array_equal(load_arrays(tmp_path / "out.npz")["logits"], expected)


def test_batch_and_all_do_not_go_together(espdl: Command, digits: Path, image: Path, tmp_path: Path) -> None:
    result = espdl("run", digits, "--inputs", image, "--outputs", tmp_path / "out.npz", "--batch", "--all")
    assert result.code != 0
    assert "--batch" in result.err
