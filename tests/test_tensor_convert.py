"""Assigning one tensor to another: every row of the table in runtime spec 2.3."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import Rounding, saturate, shift_and_round
from espdl.tensor import TensorBase

UP, EVEN = Rounding.HALF_UP, Rounding.HALF_EVEN


def assigned(values, dtype, exponent, target, target_exponent, rounding=UP):
    result = TensorBase([len(values)], None, target_exponent, target)
    assert result.assign(TensorBase([len(values)], values, exponent, dtype), rounding=rounding)
    return result.data.tolist()


@pytest.mark.parametrize("dtype", [d for d in DType if d not in (DType.UNDEFINED, DType.STRING)])
def test_equal_type_and_exponent_copies(dtype):
    values = np.array([0, 1, 1, 0]).astype(dtype.numpy)
    assert assigned(values, dtype, 3, dtype, 3) == values.tolist()


@pytest.mark.parametrize(("rounding", "expected"), [(UP, [1, 2, 3, 0, -1, 127, -128]), (EVEN, [0, 2, 2, 0, -2, 127, -128])])
def test_float_to_int8_rounds_and_saturates(rounding, expected):
    values = [0.25, 0.75, 1.25, -0.25, -0.75, 1e9, -1e9]
    assert assigned(values, DType.FLOAT, 0, DType.INT8, -1, rounding) == expected


def test_the_float_sum_is_rounded_before_the_floor():
    below_half = np.nextafter(np.float32(0.5), np.float32(0))
    assert assigned([below_half], DType.FLOAT, 0, DType.INT8, 0, UP) == [1]
    assert assigned([below_half], DType.FLOAT, 0, DType.INT8, 0, EVEN) == [0]


def test_double_is_rounded_in_double_precision():
    below_half = np.nextafter(0.5, 0)
    assert assigned([float(np.nextafter(np.float32(0.5), np.float32(0)))], DType.DOUBLE, 0, DType.INT16, 0, UP) == [0]
    assert assigned([below_half, 1.5, -1.5], DType.DOUBLE, 0, DType.INT16, 0, UP) == [1, 2, -1]


def test_double_half_even_has_a_tolerance_of_a_millionth():
    values = [0.5, 1.5, 2.5, -0.5, -2.5, 2.5000005, 2.500002, 0.4999995, 0.2]
    assert assigned(values, DType.DOUBLE, 0, DType.INT8, 0, EVEN) == [0, 2, 2, 0, -2, 2, 3, 0, 0]


@pytest.mark.parametrize("target", [DType.FLOAT, DType.DOUBLE])
def test_integers_become_real_values(target):
    assert assigned([-128, 5], DType.INT8, -2, target, 0) == [-32.0, 1.25]
    assert assigned([-32768, 5], DType.INT16, 1, target, 0) == [-65536.0, 10.0]


def test_unsigned_integers_are_read_as_signed_when_dequantized():
    assert assigned([200, 5], DType.UINT8, 0, DType.FLOAT, 0) == [-56.0, 5.0]
    assert assigned([65535, 5], DType.UINT16, 1, DType.FLOAT, 0) == [-2.0, 10.0]


def test_equal_exponents_saturate_or_widen():
    assert assigned([300, -300, 7], DType.INT16, -4, DType.INT8, -4) == [127, -128, 7]
    assert assigned([-128, 127], DType.INT8, -4, DType.INT16, -4) == [-128, 127]


@given(
    values=st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40),
    wide=st.booleans(),
    target=st.sampled_from([DType.INT8, DType.INT16]),
    exponents=st.tuples(st.integers(-15, 15), st.integers(-15, 15)),
    rounding=st.sampled_from(Rounding),
)
def test_requantizing_is_a_saturating_shift(values, wide, target, exponents, rounding):
    source = DType.INT16 if wide else DType.INT8
    raw = saturate(values, source.numpy)
    shift = exponents[1] - exponents[0]
    expected = saturate(shift_and_round(raw, shift, rounding), target.numpy)
    assert assigned(raw, source, exponents[0], target, exponents[1], rounding) == expected.tolist()


@pytest.mark.parametrize(
    ("source", "exponent", "target", "target_exponent"),
    [
        (DType.FLOAT, 0, DType.FLOAT, 1),
        (DType.FLOAT, 0, DType.DOUBLE, 0),
        (DType.DOUBLE, 0, DType.FLOAT, 0),
        (DType.FLOAT, 0, DType.INT32, 0),
        (DType.INT32, 0, DType.FLOAT, 0),
        (DType.INT64, 0, DType.INT8, 0),
        (DType.INT32, 0, DType.INT32, 1),
        (DType.UINT8, 0, DType.INT8, 0),
        (DType.BOOL, 0, DType.INT8, 0),
        (DType.INT8, [1, 2], DType.INT8, [1, 3]),
        (DType.INT8, [1, 2], DType.INT8, 1),
        (DType.INT8, [1, 2], DType.FLOAT, 0),
    ],
)
def test_refusals_leave_the_tensor_alone_and_say_why(caplog, source, exponent, target, target_exponent):
    tensor = TensorBase([2], [1, 1], target_exponent, target)
    other = TensorBase([2], None, exponent, source)
    with caplog.at_level(logging.ERROR, "espdl.tensor"):
        assert tensor.assign(other) is False
    assert tensor.data.tolist() == [1, 1]
    reason = tensor.why_not_assign(other)
    assert reason
    assert reason in caplog.text


def test_per_channel_tensors_of_equal_exponents_are_copied():
    assert assigned([3, 4], DType.INT8, [1, 2], DType.INT8, [1, 2]) == [3, 4]


def test_sizes_must_agree_but_not_shapes():
    tensor = TensorBase([2, 3], None, 0, DType.INT8)
    assert tensor.assign(TensorBase([6], range(6), 0, DType.INT8))
    assert tensor.data.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not tensor.assign(TensorBase([5], None, 0, DType.INT8))
    assert not tensor.assign(None)
    assert "5 elements" in tensor.why_not_assign(TensorBase([5], None, 0, DType.INT8))


def test_assigning_elements():
    tensor = TensorBase([2], None, -1, DType.INT8)
    assert tensor.assign([2], [0.5, 1.0], 0, DType.FLOAT)
    assert tensor.data.tolist() == [1, 2]
    assert tensor.assign([2], np.array([4, 8], np.int16).tobytes(), -2, DType.INT16)
    assert tensor.data.tolist() == [2, 4]


def test_arrays_of_integers_are_raw_and_of_floats_are_real():
    tensor = TensorBase([2], None, -3, DType.INT8)
    assert tensor.assign(np.array([5, 6], np.int8))
    assert tensor.data.tolist() == [5, 6]
    assert tensor.assign(np.array([300, 6], np.int16))
    assert tensor.data.tolist() == [127, 6]
    for dtype in (np.float16, np.float32, np.float64):
        assert tensor.assign(np.array([0.5, -1], dtype))
        assert tensor.data.tolist() == [4, -8]
    real = TensorBase([2])
    assert real.assign(np.array([0.5, -1]))
    assert real.data.tolist() == [0.5, -1]
    assert not tensor.assign(np.array([1, 2], np.int64))
    with pytest.raises(EspdlError, match="NumPy array"):
        tensor.assign("12")


def test_constants_of_a_file_are_not_written():
    constant = TensorBase([2], np.frombuffer(b"ab", np.int8), deep=False)
    assert not constant.assign(np.array([1, 2], np.int8))
    assert "read-only" in constant.why_not_assign(np.array([1, 2], np.int8))
