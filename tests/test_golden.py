"""Runs of the real C++ runtime, reproduced bit for bit, operator by operator."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dl.base import missing_native_notice
from espdl.dl.series import run_series
from tests.conftest import conformance_directory

SLOW_REFERENCE_MS = 600
"""Runs that take the C++ code longer than this are marked slow."""


def golden_runs() -> Iterator[object]:
    directory = conformance_directory()
    if directory is None:
        yield pytest.param(None, id="absent")
        return
    with open(directory / "golden/INDEX.csv", newline="") as file:
        for row in csv.DictReader(file):
            marks = [pytest.mark.slow] if float(row["cpp_reference_ms"]) > SLOW_REFERENCE_MS else []
            yield pytest.param(row, id=row["file"].removesuffix(".npz"), marks=marks)


def node_outputs(model: Model, inputs: dict[str, np.ndarray], steps: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """Runs chunk after chunk; yields (operator, tensor name, array) in the order in which tensors are produced."""
    for step in range(steps):
        for name, array in inputs.items():
            tensor = model.get_input(name)
            tensor.data[...] = array.reshape(steps, *tensor.shape)[step]
        for stage, module in enumerate(model.modules):
            model.run(stages=len(model.modules), stage=stage)
            for name in model.fbs_model.get_node(module.name).output:
                yield module.op_type, name, model.get_intermediate(name).data


BACKENDS = [
    "numpy",
    pytest.param("native", marks=pytest.mark.skipif(bool(missing_native_notice()), reason="no native kernels here")),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", list(golden_runs()))
def test_golden_run(row: dict[str, str] | None, backend: str, conformance: Path) -> None:
    assert row is not None
    golden = np.load(conformance / "golden" / row["file"])
    meta = json.loads(str(golden["meta"]))
    model = Model(conformance / row["model"], target=row["target"], arithmetic="reference", backend=backend)
    inputs = {key[3:]: golden[key] for key in golden if key.startswith("in:")}
    produced = node_outputs(model, inputs, meta["steps"])
    for expected, (op_type, name, array) in zip(meta["nodes"], produced, strict=True):
        place = f"step {expected['step']} {op_type} {name!r}"
        assert name == expected["name"], place
        assert list(array.shape) == expected["shape"], place
        assert zlib.crc32(np.ascontiguousarray(array)) == expected["crc32"], f"{place}: first operator whose bytes differ"
    for key in golden:
        if key.startswith("out:"):
            output = model.get_output(key[4:])
            last = golden[key].reshape(meta["steps"], *output.shape)[-1]
            np.testing.assert_array_equal(output.data, last)
    model.reset()
    flat = run_series(model, inputs)
    for name, array in flat.items():
        np.testing.assert_array_equal(array, golden["out:" + name].reshape(meta["steps"], *array.shape)[-1])
