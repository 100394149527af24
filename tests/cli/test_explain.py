"""``espdl explain``, ``espdl diff`` and ``espdl run --dump``: what they print and how they exit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command
from tests.models import INPUT_SHAPE, small_file
from tests.report.planted import lane_saturation


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.espdl"
    path.write_bytes(small_file("esp32s3", test_values=False))
    return path


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    path = tmp_path / "in.npz"
    np.savez(path, x=np.random.default_rng(0).integers(-128, 128, INPUT_SHAPE, dtype=np.int8))
    return path


def test_two_chips(espdl: Command, model: Path, inputs: Path) -> None:
    result = espdl("explain", model, model, "--target", "esp32s3", "--target-b", "esp32p4")
    assert result.code == 1
    assert "first divergence: node 0, Conv '/conv'" in result.out
    assert "cause: rounding: ties are rounded half to even instead of half up" in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    found = espdl("explain", model, model, "--target", "esp32s3", "--target-b", "esp32p4", "--json").json
    assert found["divergences"][0]["cause"]["id"] == "rounding"
    same = espdl("explain", model, model, "--target", "esp32s3", "--data", inputs)
    assert same.code == 0
    assert "equal: all 6 tensors" in same.out


def test_two_arithmetics(espdl: Command, tmp_path: Path) -> None:
    planted = lane_saturation()
    assert planted.first.model is not None
    path, data = tmp_path / "g.espdl", tmp_path / "in.npy"
    from tests.report.planted import gemm

    path.write_bytes(gemm(np.full((16, 64), 100), np.zeros(16), "esp32s3", (1, 64), 16))
    np.save(data, planted.first.values["x"].data)
    result = espdl("explain", path, path, "--target", "esp32s3", "--arithmetic-a", "reference", "--data", data)
    assert result.code == 1
    assert "lane-saturation: sums saturate in lanes of 20 bits on the second side" in result.out


def test_a_dump_from_the_pc_is_one_of_a_chip(espdl: Command, model: Path, inputs: Path, tmp_path: Path) -> None:
    dump, outputs = tmp_path / "dump.txt", tmp_path / "out.npz"
    run = ("run", model, "--inputs", inputs, "--outputs", outputs, "--target", "esp32s3")
    assert espdl(*run, "--dump", dump).code == 0
    with np.load(outputs) as arrays:
        assert set(arrays.files) == {"y"}
    for order in ((model, dump), (dump, model)):
        result = espdl("explain", *order, "--target", "esp32s3")
        assert result.code == 0
        assert "inputs of the dump" in result.out
    result = espdl("explain", model, dump, "--target", "esp32p4")
    assert result.code == 1
    assert "rounding" in result.out
    assert espdl("explain", dump, dump).code == 1
    assert espdl(*run, "--dump", dump, "--batch").code == 1


def test_other_inputs(espdl: Command, model: Path, inputs: Path, tmp_path: Path) -> None:
    with np.load(inputs) as arrays:
        np.savez(tmp_path / "bgr.npz", x=arrays["x"][..., ::-1])
    result = espdl("explain", model, model, "--target", "esp32s3", "--data", inputs, "--data-b", tmp_path / "bgr.npz")
    assert result.code == 1
    assert "first divergence: an input of the network" in result.out
    assert "reverse order (RGB and BGR)" in result.out


def test_what_cannot_be_read_is_said(espdl: Command, model: Path, tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("nothing of ours\n")
    result = espdl("explain", model, log, "--target", "esp32s3")
    assert result.code == 1
    assert "holds no tensor" in result.err


def test_diff(espdl: Command, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "c.espdl"
    other.write_bytes(small_file("c", test_values=False))
    assert espdl("diff", model, model).code == 0
    result = espdl("diff", model, other)
    assert result.code == 1
    assert "packing (N/16)HWC16_UNALIGNED -> NHWC; the same integers" in result.out
    assert espdl("diff", model, other, "--json").json["equal"] is False


def test_options_that_do_not_apply_are_refused(espdl: Command, model: Path, inputs: Path, tmp_path: Path) -> None:
    dump, outputs = tmp_path / "dump.txt", tmp_path / "out.npz"
    assert espdl("run", model, "--inputs", inputs, "--outputs", outputs, "--target", "esp32s3", "--dump", dump).code == 0
    for options in (("--arithmetic-b", "reference"), ("--int16-lut-b", "interpolating"), ("--setting", inputs)):
        result = espdl("explain", model, dump, "--target", "esp32s3", *options)
        assert result.code == 1
        assert f"{options[0]} does not apply" in result.err
