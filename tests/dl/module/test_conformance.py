"""One-operator files with embedded test values, all operators but the multiply-accumulate and the recurrent ones."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dtypes import Arithmetic
from tests.conftest import conformance_directory

ELSEWHERE = {"Conv", "ConvTranspose", "Gemm", "MatMul", "GRU", "LSTM", "Network"}
FLOAT_TOLERANCE = 2e-5
OFF_BY_ONE_SHARE = 1 / 500
"""Of the elements of a file, at 16 bits: float evaluation is defined to about a unit in the last place only."""


def operators() -> Iterator[object]:
    directory = conformance_directory()
    if directory is None:
        yield pytest.param("", [], id="absent")
        return
    files: dict[str, list[tuple[str, str]]] = {}
    with open(directory / "ops/INDEX.csv", newline="") as index:
        for row in csv.DictReader(index):
            if row["op"] not in ELSEWHERE and row["esp_dl_3_3_9_cpp"] == "passes":
                files.setdefault(row["op"], []).append((row["target"], row["file"]))
    for op_type, rows in sorted(files.items()):
        yield pytest.param(op_type, rows, id=op_type)


def difference(path: Path, target: str, arithmetic: Arithmetic) -> str:
    """What is wrong with the outputs of a file; empty when nothing is."""
    model = Model(path, target=target, arithmetic=arithmetic)
    facts = model.fbs_model
    inputs = {name: facts.get_test_input_tensor(name).data for name in facts.get_graph_inputs()}
    names = facts.get_test_outputs_name()
    for name, result in model.run_arrays(inputs, names).items():
        expected = facts.get_test_output_tensor(name).data
        if (result.shape, result.dtype) != (expected.shape, expected.dtype):
            return f"{name}: {result.dtype}{result.shape} is not {expected.dtype}{expected.shape}"
        if result.dtype == np.float32:
            if not np.allclose(result, expected, rtol=FLOAT_TOLERANCE, atol=FLOAT_TOLERANCE, equal_nan=True):
                return f"{name}: off by {np.abs(result - expected).max()}"
            continue
        error = np.abs(result.astype(np.int64) - expected)
        allowed = max(1, round(error.size * OFF_BY_ONE_SHARE)) if result.dtype == np.int16 else 0
        if error.max() > 1 or np.count_nonzero(error) > allowed:
            return f"{name}: {np.count_nonzero(error)} of {error.size} differ, by {error.max()}"
    return ""


@pytest.mark.parametrize("arithmetic", list(Arithmetic), ids=lambda a: a.value)
@pytest.mark.parametrize(("op_type", "files"), list(operators()))
def test_embedded_values(conformance: Path, op_type: str, files: list[tuple[str, str]], arithmetic: Arithmetic) -> None:
    wrong = {}
    for target, file in files:
        text = difference(conformance / "ops" / target / op_type / file, target, arithmetic)
        if text:
            wrong[target, file] = text
    assert wrong == {}
    assert files
