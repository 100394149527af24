"""Max, Min, And, Or, Xor and Not against runtime spec 3.1, element by element in Python integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.base.steps import merged_shapes
from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from tests.dl.module.harness import ARITHMETIC, IN_PLACE, TARGET, TARGETS, machine, make, run, tensor
from tests.dl.module.test_binary import operands, pairs

Operation = Callable[[int, int], int]
LOGICAL: dict[str, Operation] = {"And": lambda a, b: int(bool(a and b)), "Or": lambda a, b: int(bool(a or b))}
BITWISE: dict[str, Operation] = {"And": lambda a, b: a & b, "Or": lambda a, b: a | b}


@given(operands(), st.sampled_from([("Max", max), ("Min", min)]), IN_PLACE)
def test_max_and_min_look_at_raw_integers(
    inputs: tuple[np.ndarray, np.ndarray], operation: tuple[str, Operation], in_place: bool
) -> None:
    a, b = inputs
    result = run(make(operation[0]), tensor(a, -3), tensor(b, 2), exponent=5, in_place=in_place)
    assert result.dtype == a.dtype
    assert result.ravel().tolist() == [operation[1](x, y) for x, y in pairs(a, b)]


@given(operands(), st.sampled_from(["And", "Or"]), TARGET, ARITHMETIC, IN_PLACE)
def test_and_and_or(
    inputs: tuple[np.ndarray, np.ndarray], op_type: str, target: str, arithmetic: Arithmetic, in_place: bool
) -> None:
    a, b = inputs
    innermost = max(shape[-1] for shape in merged_shapes(a.shape, b.shape))
    in_vectors = target == "esp32p4" and arithmetic is Arithmetic.SILICON and innermost >= 16 // a.dtype.itemsize
    operation = (BITWISE if in_vectors else LOGICAL)[op_type]
    result = run(make(op_type), tensor(a), tensor(b), on=machine(target, arithmetic), in_place=in_place)
    assert result.ravel().tolist() == [operation(x, y) for x, y in pairs(a, b)]


@given(operands(), TARGET, ARITHMETIC)
def test_xor_and_not(inputs: tuple[np.ndarray, np.ndarray], target: str, arithmetic: Arithmetic) -> None:
    a, b = inputs
    on = machine(target, arithmetic)
    assert run(make("Xor"), tensor(a), tensor(b), on=on).ravel().tolist() == [x ^ y for x, y in pairs(a, b)]
    assert run(make("Not"), tensor(a), on=on).ravel().tolist() == [int(x == 0) for x in a.ravel().tolist()]


@pytest.mark.parametrize("arithmetic", list(Arithmetic))
def test_truth_values_are_the_same_on_every_chip(arithmetic: Arithmetic) -> None:
    a, b = np.tile([False, False, True, True], 8), np.tile([False, True], 16)
    for target in TARGETS:
        on = machine(target, arithmetic)
        for op_type, function in (("And", np.logical_and), ("Or", np.logical_or), ("Xor", np.logical_xor)):
            result = run(make(op_type), tensor(a), tensor(b), on=on)
            assert result.dtype == np.bool_
            assert np.array_equal(result, function(a, b))
        assert np.array_equal(run(make("Not"), tensor(a), on=on), ~a)


def test_float32() -> None:
    a, b = np.float32([[1, -2, 3]]), np.float32([[0], [2]])
    assert np.array_equal(run(make("Max"), tensor(a), tensor(b)), np.maximum(a, b))
    assert np.array_equal(run(make("Min"), tensor(a), tensor(b)), np.minimum(a, b))


def test_refusals() -> None:
    truth, number = tensor(np.zeros(3, np.bool_)), tensor(np.zeros(3, np.int8))
    with pytest.raises(EspdlError, match="different types"):
        run(make("And"), truth, number)
    with pytest.raises(EspdlError, match="no float32 form"):
        run(make("Or"), tensor(np.zeros(3, np.float32)), tensor(np.zeros(3, np.float32)))
    with pytest.raises(EspdlError, match="no bool form"):
        run(make("Max"), truth, truth)
    with pytest.raises(EspdlError, match="different types"):
        run(make("Not"), truth, dtype=np.int8)
