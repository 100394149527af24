"""Operators of two inputs against runtime spec 3.1, element by element in exact integers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.base.steps import merged_shapes
from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from tests.dl.module.harness import (
    ARITHMETIC,
    IN_PLACE,
    INTEGER_DTYPES,
    TARGET,
    fl32,
    integers,
    machine,
    make,
    quantized,
    rounded,
    run,
    saturated,
    shifted,
    tensor,
)

SHAPES = st.sampled_from(
    [
        ((4,), (4,)),
        ((2, 3), (3,)),
        ((1,), (2, 3)),
        ((2, 3), ()),
        ((2, 1, 3), (2, 4, 1)),
        ((1, 2, 2, 3), (1, 1, 1, 3)),
        ((3, 1), (3, 5)),
        ((2, 17), (2, 17)),
        ((1, 1, 9), (2, 4, 1)),
        ((1,), (1,)),
    ]
)


@st.composite
def operands(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    dtype, (first, second) = draw(INTEGER_DTYPES), draw(SHAPES)
    if draw(st.booleans()):
        first, second = second, first
    return draw(integers(dtype, first)), draw(integers(dtype, second))


def pairs(a: np.ndarray, b: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(*(x.ravel().tolist() for x in np.broadcast_arrays(a, b)), strict=True))


def bits_of(array: np.ndarray) -> int:
    return np.iinfo(array.dtype).bits


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ([], [], ([1], [1])),
        ([2, 3, 4], [2, 3, 4], ([24], [24])),
        ([2, 3, 4], [4], ([6, 4], [1, 4])),
        ([2, 3, 4], [3, 1], ([2, 3, 4], [1, 3, 1])),
        ([5, 1], [1, 1], ([5], [1])),
        ([1, 1, 6], [2, 3, 1], ([1, 6], [6, 1])),
        ([5, 1, 1], [5, 1, 3], ([5, 1], [5, 3])),
        ([2, 1, 2, 1, 2], [1, 2, 1, 2, 1], ([2, 1, 2, 1, 2], [1, 2, 1, 2, 1])),
        ([1], [7], ([1], [7])),
    ],
)
def test_merged_shapes(first: list[int], second: list[int], merged: tuple[list[int], list[int]]) -> None:
    assert merged_shapes(first, second) == merged


def test_shapes_that_the_chip_cannot_loop_over() -> None:
    with pytest.raises(EspdlError, match="merge to 5 axes"):
        make("Add").get_output_shape([[2, 1, 2, 1, 2], [1, 2, 1, 2, 1]])
    with pytest.raises(EspdlError, match="do not broadcast"):
        make("Mul").get_output_shape([[2, 3], [2, 4]])
    assert make("Sub").get_output_shape([[2, 1, 4], [3, 1]]) == [[2, 3, 4]]


@given(operands(), st.sampled_from(["Add", "Sub"]), IN_PLACE)
def test_add_and_sub_ignore_exponents(inputs: tuple[np.ndarray, np.ndarray], op_type: str, in_place: bool) -> None:
    a, b = inputs
    sign = 1 if op_type == "Add" else -1
    expected = [saturated(x + sign * y, bits_of(a)) for x, y in pairs(a, b)]
    result = run(make(op_type), tensor(a, -3), tensor(b, 2), exponent=5, in_place=in_place and op_type == "Add")
    assert result.ravel().tolist() == expected


@given(operands(), TARGET, ARITHMETIC, st.integers(-2, 18))
def test_mul(inputs: tuple[np.ndarray, np.ndarray], target: str, arithmetic: Arithmetic, shift: int) -> None:
    a, b = inputs
    on = machine(target, arithmetic)
    lanes = on.chip.lanes(a.dtype.itemsize)
    row = max(d[-1] for d in merged_shapes(a.shape, b.shape))
    exact = arithmetic is Arithmetic.SILICON and lanes > 1 and row >= lanes and shift >= 0
    expected = [
        shifted(x * y, shift, on.chip.rounding, bits_of(a))
        if exact
        else quantized(fl32(x * y), shift, on.chip.rounding, bits_of(a))
        for x, y in pairs(a, b)
    ]
    result = run(make("Mul"), tensor(a, -7), tensor(b, -5), exponent=-12 + shift, on=on)
    assert result.ravel().tolist() == expected


def test_mul_in_both_arithmetics_where_they_differ() -> None:
    # 3 * 8388609 / 2 lies midway; binary32 has lost the last bit of the product before the shift.
    a, b = np.full(8, 4097, np.int16), np.full(8, 4097, np.int16)
    product = 4097 * 4097
    assert fl32(product) != product
    results = {
        arithmetic: int(run(make("Mul"), tensor(a), tensor(b), exponent=shift, on=machine("esp32s3", arithmetic))[0])
        for shift in (15,)
        for arithmetic in Arithmetic
    }
    assert results[Arithmetic.SILICON] == shifted(product, 15, Rounding.HALF_UP, 16)


def div_oracle(x: int, y: int, variant: str, shift: int, rounding: Rounding, bits: int) -> int:
    ratio = 2.0**shift
    if variant == "dividends":  # table over x, one divisor
        if x == 0:
            return 0
        return saturated(rounded(fl32(x * fl32(ratio / y)), rounding), bits) if y else saturated((1 if x > 0 else -1) << 40, bits)
    if variant == "divisors":  # table over y, one dividend
        return (127 if x > 0 else -128) if y == 0 else saturated(rounded(fl32(x * ratio / y), rounding), bits)
    if x == 0:
        return 0
    if y == 0:
        return (1 << bits - 1) - 1 if x > 0 else -(1 << bits - 1)
    value = fl32(x * fl32(ratio / y)) if variant == "reciprocal" else fl32(x * ratio / y)
    return saturated(rounded(value, rounding), bits)


@given(operands(), TARGET, st.integers(-9, 9))
def test_div(inputs: tuple[np.ndarray, np.ndarray], target: str, shift: int) -> None:
    a, b = inputs
    on = machine(target)
    rows = [d[-1] for d in merged_shapes(a.shape, b.shape)]
    if a.dtype == np.int8 and a.size == 1:
        variant = "divisors"
    elif a.dtype == np.int8 and b.size == 1:
        variant = "dividends"
    elif rows[1] == 1 and (rows[0] > 1 or a.dtype == np.int16):
        variant = "reciprocal"
    else:
        variant = "one by one"
    expected = [div_oracle(x, y, variant, shift, on.chip.rounding, bits_of(a)) for x, y in pairs(a, b)]
    result = run(make("Div"), tensor(a, -4), tensor(b, -3), exponent=-1 - shift, on=on)
    assert result.ravel().tolist() == expected


def test_an_8_bit_division_keeps_the_table_of_its_first_run() -> None:
    module, on = make("Div"), machine()
    x, divisor = tensor(np.int8([8, 16])), tensor(np.int8([2]))
    y = tensor(np.zeros(2, np.int8))
    module.run([x, divisor], y, machine=on)
    divisor.data[...] = 4
    module.run([x, divisor], y, machine=on)
    assert y.data.tolist() == [4, 8]


def test_div_float32_takes_the_reciprocal_of_a_scalar() -> None:
    a, b = np.float32([1, 5, 7]), np.float32([3])
    expected = a * (np.float32(1) / np.float32(3))
    np.testing.assert_array_equal(run(make("Div"), tensor(a), tensor(b)), expected)
    np.testing.assert_array_equal(run(make("Div"), tensor(a), tensor(a)), np.ones(3, np.float32))


@given(operands(), TARGET)
def test_mod(inputs: tuple[np.ndarray, np.ndarray], target: str) -> None:
    a, b = inputs
    rounding = machine(target).chip.rounding
    expected = [0 if y == 0 else quantized(math.fmod(x * 2.0**-4, y * 2.0**-6), -5, rounding, bits_of(a)) for x, y in pairs(a, b)]
    result = run(make("Mod", fmod=0), tensor(a, -4), tensor(b, -6), exponent=-5, on=machine(target))
    assert result.ravel().tolist() == expected


def test_pow() -> None:
    a, b = np.int8([0, 1, 2, 3, -2, -3, 127]), np.int8([2, 5, 3, -1, 3, 2, 2])
    assert run(make("Pow"), tensor(a), tensor(b)).tolist() == [0, 1, 8, 0, -8, 9, 127]
    assert run(make("Pow"), tensor(np.int8([4, 9]), -2), tensor(np.int8([1]), -1), exponent=-3).tolist() == [8, 12]
    assert run(make("Pow"), tensor(np.float32([2, 9])), tensor(np.float32([3, 0.5]))).tolist() == [8, 3]


@given(operands(), st.sampled_from(["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]), IN_PLACE)
def test_comparisons_look_at_raw_integers(inputs: tuple[np.ndarray, np.ndarray], op_type: str, in_place: bool) -> None:
    a, b = inputs
    decide = {
        "Equal": lambda x, y: x == y,
        "Greater": lambda x, y: x > y,
        "GreaterOrEqual": lambda x, y: x >= y,
        "Less": lambda x, y: x < y,
        "LessOrEqual": lambda x, y: x <= y,
    }[op_type]
    expected = [decide(x, y) for x, y in pairs(a, b)]
    result = run(make(op_type), tensor(a, -3), tensor(b, 4), dtype=np.bool_, in_place=in_place)
    assert result.dtype == np.bool_
    assert result.ravel().tolist() == expected


@pytest.mark.parametrize(("op_type", "function"), [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Mod", np.fmod)])
def test_float32(op_type: str, function: Any) -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 3, 4)).astype(np.float32), generator.normal(size=(4,)).astype(np.float32)
    np.testing.assert_array_equal(run(make(op_type), tensor(a), tensor(b)), function(a, b))


def test_refusals() -> None:
    x8, x16 = tensor(np.zeros(3, np.int8)), tensor(np.zeros(3, np.int16))
    with pytest.raises(EspdlError, match="different types: int16, int8"):
        run(make("Add"), x8, x16)
    with pytest.raises(EspdlError, match="a comparison gives bool"):
        run(make("Less"), x8, x8)
    with pytest.raises(EspdlError, match="no float32 form"):
        run(make("Less"), tensor(np.zeros(3, np.float32)), tensor(np.zeros(3, np.float32)), dtype=np.bool_)
    with pytest.raises(EspdlError, match="input 1 is missing"):
        run(make("Add"), x8)
