"""GRU and LSTM on a sequence in chunks: the states that a run ends with are what the next one starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dtypes import Arithmetic
from tests.dl.module.harness import TARGETS, machine
from tests.dl.module.test_recurrent import GATES, Case

STEPS, SIZE, HIDDEN = 12, 16, 8


def sequence(op_type: str, dtype: np.dtype) -> Case:
    """A case of one direction that starts from zero."""
    rng = np.random.default_rng(9)
    rows = GATES[op_type] * HIDDEN
    shapes = (STEPS, 1, SIZE), (1, rows, SIZE), (1, rows, HIDDEN)
    if dtype.kind == "f":
        x, w, r = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
        return Case(op_type, x, w, r, rng.normal(size=(1, 2 * rows)).astype(np.float32))
    limits = np.iinfo(dtype)
    x, w, r = (rng.integers(limits.min // 2, limits.max // 2, shape, dtype) for shape in shapes)
    more = 8 if dtype == np.int16 else 0
    exponents = {"x_exponent": -6 - more, "w_exponent": -8 - more, "r_exponent": -7 - more, "h_exponent": -7 - more}
    return Case(op_type, x, w, r, rng.integers(-600, 600, (1, 2 * rows)).astype(np.int16), **exponents)


@pytest.mark.parametrize("size", [1, 3, 5, 12])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32], ids=["int8", "int16", "float32"])
@pytest.mark.parametrize("op_type", ["GRU", "LSTM"])
def test_chunks_that_pass_their_states_on_are_the_whole(op_type: str, dtype: type, size: int) -> None:
    for target in TARGETS:
        for arithmetic in Arithmetic:
            on = machine(target, arithmetic)
            case = sequence(op_type, np.dtype(dtype))
            y, h, *c = case.run(on)
            assert y is not None
            whole, parts = case.x, []
            for start in range(0, STEPS, size):
                case.x = whole[start : start + size]
                part, case.h, *cell = case.run(on)
                case.c = cell[0] if cell else None
                parts.append(part)
            assert np.array_equal(np.concatenate([part for part in parts if part is not None]), y)
            assert h is not None
            assert np.array_equal(case.h, h)
            assert not c or np.array_equal(case.c, c[0])


@pytest.mark.parametrize("name", ["gru_state_opset13_s8", "lstm_state_s16", "lstm_state_f32"])
def test_a_network_whose_states_are_inputs_and_outputs(conformance: Path, name: str) -> None:
    """Its file holds one step: steps from zero are a function of what came before, and nothing is kept inside."""
    model = Model(conformance / f"ops/esp32p4/Network/{name}.espdl", target="esp32p4")
    states = [("input1", "output1"), *([("input2", "output2")] if "lstm" in name else [])]
    zeros = {given: np.zeros(model.get_input(given).shape, model.get_input(given).dtype.numpy) for given, _ in states}
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(3, *model.get_input("input0").shape)).astype(np.float32)

    def walk(rows: np.ndarray) -> dict[str, np.ndarray]:
        carried = zeros
        results: dict[str, np.ndarray] = {}
        for row in rows:
            results = model.run_arrays({"input0": row, **carried})
            carried = {given: results[got].copy() for given, got in states}
        return results

    last = walk(steps)["output0"].copy()
    assert np.array_equal(walk(steps)["output0"], last)
    assert not np.array_equal(walk(steps[1:])["output0"], last)
