"""``--strict-onnx`` and ``--int16-lut`` of ``espdl run`` and ``espdl test``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.fbs import FbsLoader, records, write_model
from espdl.fbs.container import wrap_model
from tests.cli.conftest import Command
from tests.models import node_file

X = np.array([0, 100, 200], np.int16)
TABLE = np.arange(-128, 129, dtype=np.int16) * 3


@pytest.fixture
def table_model(tmp_path: Path) -> Path:
    path = tmp_path / "table.espdl"
    path.write_bytes(node_file("LUT", [((3,), np.int16, -8)], [((3,), np.int16, -8)], lut=TABLE, metadata={"target": "esp32s3"}))
    return path


@pytest.fixture
def remainder_model(tmp_path: Path) -> Path:
    """Mod without ``fmod``, with the values that ONNX has as test values."""
    data = node_file("Mod", [((2,), np.int8, 0)] * 2, [((2,), np.int8, 0)], metadata={"target": "c"})
    record = FbsLoader(data).load().record
    values = {"x0": [5, -5], "x1": [3, 3], "y0": [2, 1]}
    tensors = {name: records.Tensor(name, (2,), DType.INT8, np.array(v, np.int8), (0,)) for name, v in values.items()}
    record.graph.test_inputs_value = [tensors["x0"], tensors["x1"]]
    record.graph.test_outputs_value = [tensors["y0"]]
    path = tmp_path / "mod.espdl"
    path.write_bytes(wrap_model(write_model(record)))
    return path


def test_tables_of_older_files(espdl: Command, table_model: Path, tmp_path: Path) -> None:
    inputs, outputs = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(inputs, x0=X)
    for options, expected in (((), [0, 0, 3]), (("--int16-lut", "interpolating"), [0, 1, 2])):
        result = espdl("run", table_model, "--inputs", inputs, "--outputs", outputs, *options)
        assert result.code == 0
        assert ("interpolating tables" in result.out) == bool(options)
        with np.load(outputs) as arrays:
            assert arrays["y0"].tolist() == expected
    assert espdl("run", table_model, "--inputs", inputs, "--outputs", outputs, "--int16-lut", "cubic").code == 2


def test_run_as_onnx(espdl: Command, remainder_model: Path, tmp_path: Path) -> None:
    inputs, outputs = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(inputs, x0=np.array([5, -5], np.int8), x1=np.array([3, 3], np.int8))
    for options, expected, quirks in (
        ((), [2, -2], [{"node": "/node", "op_type": "Mod", "quirk": "mod-sign-of-dividend"}]),
        (("--strict-onnx",), [2, 1], []),
    ):
        result = espdl("run", remainder_model, "--inputs", inputs, "--outputs", outputs, "--json", *options)
        assert result.json["quirks"] == quirks
        assert result.json["strict_onnx"] is bool(options)
        with np.load(outputs) as arrays:
            assert arrays["y0"].tolist() == expected
    assert "operators as in ONNX" in espdl("run", remainder_model, "--inputs", inputs, "--outputs", outputs, "--strict-onnx").out


def test_test_values_as_onnx(espdl: Command, remainder_model: Path) -> None:
    assert espdl("test", remainder_model).code == 1
    assert espdl("test", remainder_model, "--strict-onnx", "--int16-lut", "nearest").code == 0
