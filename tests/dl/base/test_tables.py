"""Table look-up and the final shift, against Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.base import Kernels
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from tests.dl.base.oracle import clamp, divide

ROUNDINGS = st.sampled_from(list(Rounding))
SHIFTS = st.integers(-20, 70) | st.sampled_from([-62, -63, -64, -130])


@given(
    values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=12),
    shift=SHIFTS,
    rounding=ROUNDINGS,
    dtype=st.sampled_from([np.int8, np.int16, np.int32]),
    relu=st.booleans(),
    wide=st.booleans(),
)
def test_shift_round_saturate(
    kernels: Kernels, values: list[int], shift: int, rounding: Rounding, dtype: type, relu: bool, wide: bool
) -> None:
    array = np.array(values, np.int64 if wide else np.int32)
    out = np.empty(array.shape, dtype)
    kernels.shift_round_saturate(array, np.array([shift]), rounding, out, relu=relu)
    expected = [divide(v, min(shift, 63), rounding) for v in values]
    assert out.tolist() == [clamp(max(v, 0) if relu else v, np.dtype(dtype)) for v in expected]


@given(
    rows=st.integers(1, 4), shifts=st.lists(SHIFTS, min_size=2, max_size=20), rounding=ROUNDINGS, seed=st.integers(0, 2**32 - 1)
)
def test_one_shift_per_channel(kernels: Kernels, rows: int, shifts: list[int], rounding: Rounding, seed: int) -> None:
    values = np.random.default_rng(seed).integers(-(2**62), 2**62, size=(rows, len(shifts)))
    out = np.empty(values.shape, np.int16)
    kernels.shift_round_saturate(values, np.array(shifts), rounding, out)
    expected = [
        [clamp(divide(int(v), min(s, 63), rounding), out.dtype) for v, s in zip(row, shifts, strict=True)] for row in values
    ]
    assert out.tolist() == expected


def test_output_memory_need_not_be_contiguous(kernels: Kernels) -> None:
    out = np.zeros((4, 2), np.int8)
    kernels.shift_round_saturate(np.array([8, 16, 24, 32]), np.array([3]), Rounding.HALF_UP, out[:, 1])
    assert out[:, 1].tolist() == [1, 2, 3, 4]
    table = np.arange(-128, 128).astype(np.int8)
    kernels.lookup(table, np.array([5, -5, 0, 127], np.int8), out[:, 0], Rounding.HALF_UP)
    assert out[:, 0].tolist() == [5, -5, 0, 127]


def test_eight_bit_table(kernels: Kernels) -> None:
    table = np.random.default_rng(0).integers(-128, 128, 256).astype(np.int8)
    x = np.arange(-128, 128).astype(np.int8).reshape(2, 128)
    out = x.copy()
    kernels.lookup(table, out, out, Rounding.HALF_UP)
    np.testing.assert_array_equal(out, table.reshape(2, 128))


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("step", [1, 2, 16, 256, 4096, 65536])
def test_sixteen_bit_table_takes_the_nearest_entry(kernels: Kernels, rounding: Rounding, step: int) -> None:
    entries = 65536 // step + (step > 1)
    table = np.random.default_rng(step).integers(-32768, 32768, entries).astype(np.int16)
    x = np.arange(-32768, 32768).astype(np.int16)
    out = np.empty_like(x)
    kernels.lookup(table, x, out, rounding)
    position, rest = np.divmod(np.arange(65536), step)
    tie_up = (position % 2 == 1) | (rounding is Rounding.HALF_UP)
    nearest = position + (2 * rest > step) + ((2 * rest == step) & tie_up)
    np.testing.assert_array_equal(out, table[nearest])


@pytest.mark.parametrize(
    ("entries", "dtype"), [(255, np.int8), (257, np.int8), (0, np.int16), (1, np.int16), (100, np.int16), (4, np.int16)]
)
def test_tables_of_impossible_length_are_refused(kernels: Kernels, entries: int, dtype: type) -> None:
    x = np.zeros(3, dtype)
    with pytest.raises(EspdlError, match="must have"):
        kernels.lookup(np.zeros(entries, dtype), x, x.copy(), Rounding.HALF_UP)
