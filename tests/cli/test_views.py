"""``espdl inspect``, ``profile`` and ``doctor``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command


def test_inspect_text(espdl: Command, digits: Path) -> None:
    result = espdl("inspect", digits)
    assert result.code == 0
    for text in ("esp32s3", "NHWC", "logits", "Conv", "Swish", "transpose(0, 2, 3, 1)", "run_arrays"):
        assert text in result.out
    assert max(map(len, result.out.splitlines())) <= 100


def test_inspect_json_and_its_python_runs(espdl: Command, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = espdl("inspect", digits, "--json").json
    (port,) = found["inputs"]
    assert port["name"] == "image"
    assert port["shape"] == [1, 8, 8, 1]
    assert port["dtype"] == "int8"
    assert port["layout"] == "NHWC"
    assert port["real_range"] == [-128 * 2.0 ** port["exponent"], 127 * 2.0 ** port["exponent"]]
    assert found["outputs"][0]["layout"] == ""
    assert sum(found["operators"].values()) == found["nodes"]
    assert found["test_outputs"] == ["logits"]
    assert found["parameter_bytes"] > 10_000
    monkeypatch.chdir(digits.parent)
    namespace: dict[str, object] = {}
    exec(found["python"], namespace)
    assert np.shape(namespace["real"]) == (1, 10)


def test_inspect_of_a_file_for_another_chip(espdl: Command, digits: Path) -> None:
    result = espdl("inspect", digits, "--target", "c")
    assert result.code == 1
    assert "cannot run on c" in result.err


def test_inspect_of_a_file_that_does_not_tell_its_chip(espdl: Command, conformance: Path) -> None:
    result = espdl("inspect", conformance / "models/esp32s3/tcn_model.espdl")
    assert result.code == 0
    assert "does not tell" in result.out


def test_profile(espdl: Command, digits: Path) -> None:
    result = espdl("profile", digits, "--target", "esp32s3")
    assert result.code == 0
    for text in ("memory summary", "fbs_model", "fits N16R8", "90 % interval", "bound by", "fitted to"):
        assert text in result.out
    assert max(map(len, result.out.splitlines())) <= 100
    here = espdl("profile", digits, "--here").out
    assert "module summary" in here
    assert "not on the chip" in here


def test_profile_sorts(espdl: Command, digits: Path) -> None:
    result = espdl("profile", digits, "--sort")
    microseconds = [float(number) for number in re.findall(r"([\d.]+)us\b", result.out)][:-1]  # the total stands last
    assert microseconds == sorted(microseconds, reverse=True)
    assert len(microseconds) > 10


def test_profile_fills_internal_memory_first(espdl: Command, digits: Path) -> None:
    without = espdl("profile", digits, "--json").json["memory_bytes"]["variable"]
    with_internal = espdl("profile", digits, "--max-internal-size", 1 << 20, "--json").json["memory_bytes"]["variable"]
    assert without["internal"] == 0 < without["psram"]
    assert with_internal["psram"] == 0 < with_internal["internal"]


def test_profile_json(espdl: Command, digits: Path) -> None:
    found = espdl("profile", digits, "--json").json
    assert found["latency_is_of"] == "esp32s3, estimated"
    assert {row["type"] for row in found["modules"]} > {"Conv", "Swish", "Add", "Gemm"}
    assert all(row["low_us"] <= row["latency_us"] <= row["high_us"] for row in found["modules"])
    assert sum(row["latency_us"] for row in found["modules"]) == pytest.approx(found["latency"]["latency_us"]["us"])
    assert found["memory"]["fits"] is True
    here = espdl("profile", digits, "--json", "--here").json["here"]["modules"]
    assert [row["name"] for row in here][:-1] == [row["name"] for row in found["modules"]]


def test_doctor(espdl: Command) -> None:
    result = espdl("doctor")
    assert result.code == 0
    for text in ("espdl", "python", "kernels", "onnxruntime", "scikit-learn"):
        assert text in result.out


def test_doctor_json_tells_the_backend_and_why(espdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPDL_BACKEND", "numpy")
    found = espdl("doctor", "--json").json
    assert found["healthy"] is True
    assert found["backend"]["name"] == "numpy"
    assert found["backend"]["reason"] == "ESPDL_BACKEND=numpy"


def test_doctor_with_a_wish_that_cannot_be_met(espdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPDL_BACKEND", "abacus")
    result = espdl("doctor")
    assert result.code == 1
    assert "abacus" in result.out
    assert "numpy" in result.out
