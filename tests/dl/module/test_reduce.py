"""The Reduce family against runtime spec 3.9."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.module.sums import sequential_sum, sqrt_newton
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from tests.dl.module.harness import (
    IN_PLACE,
    INTEGER_DTYPES,
    TARGET,
    fl32,
    integers,
    machine,
    make,
    quantized,
    run,
    saturated,
    shifted,
    tensor,
)

SHAPES_AND_AXES: list[tuple[tuple[int, ...], list[int] | None]] = [
    ((5,), [0]),
    ((2, 3), [1]),
    ((2, 3), None),
    ((2, 3, 4), [0, -1]),
    ((2, 3, 4), [1]),
    ((1, 2, 3, 2), [1, 2]),
    ((2, 1, 3, 2), [0, 2]),
    ((2, 1, 2, 1, 3), [0, 1, 4]),
]


def newton(x: float) -> float:
    if x == 0:
        return 0.0
    root = fl32(x)
    while True:
        last = root
        root = fl32(fl32(last + fl32(x / last)) * 0.5)
        if abs(fl32(root - last)) <= 1e-5:
            return root


def float_total(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total = fl32(total + value)
    return total


def log(value: float) -> float:
    return fl32(math.log(value)) if value > 0 else (-math.inf if value == 0 else math.nan)


def product_oracle(values: list[int], ei: int, eo: int, rounding: Rounding, bits: int) -> int:
    result = 1.0
    for value in values:
        result *= value * 2.0**ei
        if bits == 8:
            result = fl32(result)
    if bits == 8:
        return quantized(result, eo, rounding, 8)
    result *= 2.0**-eo
    if rounding is Rounding.HALF_UP:
        return saturated(math.floor(result + 0.5), 16)
    moved = result + math.copysign(0.5, result)
    whole = math.trunc(moved)
    if abs(moved - whole) < 1e-6 and whole % 2:
        whole -= int(math.copysign(1, result))
    return saturated(whole, 16)


Oracle = Callable[[list[int], int, int, Rounding, int], int]
ORACLES: dict[str, Oracle] = {
    "ReduceSum": lambda v, ei, eo, r, bits: shifted(sum(v), eo - ei, r, bits),
    "ReduceL1": lambda v, ei, eo, r, bits: shifted(sum(map(abs, v)), eo - ei, r, bits),
    "ReduceSumSquare": lambda v, ei, eo, r, bits: shifted(sum(x * x for x in v), eo - 2 * ei, r, bits),
    "ReduceMean": lambda v, ei, eo, r, bits: quantized(fl32(fl32(sum(v)) * 2.0**ei / len(v)), eo, r, bits),
    "ReduceL2": lambda v, ei, eo, r, bits: quantized(newton(fl32(sum(x * x for x in v)) * 4.0**ei), eo, r, bits),
    "ReduceMax": lambda v, ei, eo, r, bits: max(v),
    "ReduceMin": lambda v, ei, eo, r, bits: min(v),
    "ReduceProd": product_oracle,
    "ReduceLogSum": lambda v, ei, eo, r, bits: quantized(log(fl32(sum(v)) * 2.0**ei), eo, r, bits),
    "ReduceLogSumExp": lambda v, ei, eo, r, bits: quantized(
        log(float_total([fl32(math.exp(x * 2.0**ei)) for x in v])), eo, r, bits
    ),
}


def grouped(x: np.ndarray, axes: list[int] | None) -> list[list[Any]]:
    """For every output in order, the values it is made of in order of memory."""
    reduced = {axis % x.ndim for axis in axes} if axes is not None else set(range(x.ndim))
    groups: dict[tuple[int, ...], list[Any]] = {}
    for place in np.ndindex(*x.shape):
        groups.setdefault(tuple(p for i, p in enumerate(place) if i not in reduced), []).append(x[place].item())
    return [groups[key] for key in sorted(groups)]


def reducer(op_type: str, axes: list[int] | None, **attributes: Any) -> Any:
    return make(op_type, {} if axes is None else {1: tensor(np.array(axes, np.int64))}, **attributes)


@pytest.mark.parametrize("op_type", sorted(ORACLES))
@given(INTEGER_DTYPES, st.sampled_from(SHAPES_AND_AXES), TARGET, st.integers(-3, 3), st.booleans(), IN_PLACE, st.data())
def test_integers(
    op_type: str,
    dtype: np.dtype,
    case: tuple[tuple[int, ...], list[int] | None],
    target: str,
    shift: int,
    keepdims: bool,
    in_place: bool,
    data: st.DataObject,
) -> None:
    shape, axes = case
    bits = np.iinfo(dtype).bits
    ei = -4 if bits == 8 else -12
    x = data.draw(integers(dtype, shape))
    rounding = machine(target).chip.rounding
    expected = [ORACLES[op_type](values, ei, ei + shift, rounding, bits) for values in grouped(x, axes)]
    module = reducer(op_type, axes, keepdims=int(keepdims))
    result = run(module, tensor(x, ei), exponent=ei + shift, on=machine(target), in_place=in_place)
    assert result.ravel().tolist() == expected


FLOAT_FORMS: dict[str, Callable[[np.ndarray], float]] = {
    "ReduceSum": np.sum,
    "ReduceL1": lambda v: np.abs(v).sum(),
    "ReduceL2": lambda v: math.sqrt((v * v).sum()),
    "ReduceSumSquare": lambda v: (v * v).sum(),
    "ReduceMean": np.mean,
    "ReduceMax": np.max,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceLogSum": lambda v: math.log(v.sum()),
    "ReduceLogSumExp": lambda v: math.log(np.exp(v).sum()),
}


@pytest.mark.parametrize("op_type", sorted(FLOAT_FORMS))
@pytest.mark.parametrize("case", SHAPES_AND_AXES)
def test_float32(op_type: str, case: tuple[tuple[int, ...], list[int] | None]) -> None:
    shape, axes = case
    x = np.random.default_rng(3).uniform(0.5, 2, shape).astype(np.float32)
    expected = [FLOAT_FORMS[op_type](np.array(values, np.float64)) for values in grouped(x, axes)]
    np.testing.assert_allclose(run(reducer(op_type, axes), tensor(x), in_place=True).ravel(), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "keepdims", "shape"),
    [([1], 1, [2, 1, 4]), ([1], 0, [2, 4]), ([0, 1, 2], 0, [1]), (None, 1, [1, 1, 1]), (None, 0, [1]), ([], 0, [1])],
)
def test_shapes(axes: list[int] | None, keepdims: int, shape: list[int]) -> None:
    assert reducer("ReduceSum", axes, keepdims=keepdims).get_output_shape([[2, 3, 4], [1]]) == [shape]


def test_what_the_chip_computes_wrongly_is_refused() -> None:
    with pytest.raises(EspdlError, match="noop_with_empty_axes"):
        run(reducer("ReduceSum", None, noop_with_empty_axes=1), tensor(np.zeros((2, 2), np.int8)))
    with pytest.raises(EspdlError, match="alternate more than 3 times"):
        run(reducer("ReduceSum", [1, 3]), tensor(np.zeros((2, 2, 2, 2, 2), np.int8)))
    with pytest.raises(EspdlError, match="no axis 3 in a tensor of rank 2"):
        reducer("ReduceSum", [3]).get_output_shape([[2, 2], [1]])
    with pytest.raises(EspdlError, match="an axis named twice"):
        reducer("ReduceSum", [1, -1]).get_output_shape([[2, 2], [2]])


def test_float_sums_are_added_in_order() -> None:
    values = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    assert sequential_sum(values).tolist() == [float_total(row) for row in values.tolist()]


def test_newton_root_stops_early_and_always() -> None:
    values = np.array([0, 1e-12, 1e-9, 3e-6, 0.1, 1, 2, 49, 1e4, np.inf, np.nan], np.float32)
    roots = sqrt_newton(values)
    assert roots[:9].tolist() == [newton(float(v)) for v in values[:9]]
    assert roots[1] > 4e-6  # five times the root: the iteration stops at a step of 1e-5
