"""Convolution and linear kernels against one product at a time."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.base import Kernels, MacFilter, Window, patches
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from tests.dl.base.draws import INT8, INT16, Case, cases
from tests.dl.base.oracle import convolve


def run_conv(kernels: Kernels, case: Case) -> np.ndarray:
    extent = case.window.output_extent(*case.x.shape[:2], case.filter.kernel)
    out = np.full((1, *extent, case.filter.channels), 99, case.filter.output_dtype)
    kernels.conv2d(case.filter, case.window)(case.x[None], out)
    return out[0]


def a_filter(weights: np.ndarray, **changes: object) -> MacFilter:
    plain = MacFilter(weights, False, None, np.array([0]), Rounding.HALF_UP, False, INT8, INT8)
    return replace(plain, **changes)


@given(case=cases())
def test_convolution_is_exact(kernels: Kernels, case: Case) -> None:
    expected, _ = convolve(case.x, case.filter, case.window)
    np.testing.assert_array_equal(run_conv(kernels, case), expected)


@given(case=cases(), tile=st.integers(1, 40))
def test_tiles_do_not_change_the_result(kernels: Kernels, case: Case, tile: int) -> None:
    expected, _ = convolve(case.x, case.filter, case.window)
    with mock.patch.object(patches, "TILE_ELEMENTS", tile):
        np.testing.assert_array_equal(run_conv(kernels, case), expected)


@given(case=cases())
def test_linear_is_a_convolution_of_extent_one(kernels: Kernels, case: Case) -> None:
    if case.filter.depthwise:
        return
    filter = replace(case.filter, weights=case.filter.weights[:1, :1])
    out = np.empty((*case.x.shape[:2], filter.channels), filter.output_dtype)
    kernels.linear(filter)(case.x, out)
    np.testing.assert_array_equal(out, convolve(case.x, filter, Window())[0])


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("bias", [2**24 - 1, 2**40 + 1, -(2**52) - 3, 2**62])
def test_large_biases_leave_the_float_types(kernels: Kernels, rounding: Rounding, bias: int) -> None:
    shift = max(bias.bit_length() - 6, 0)
    filter = a_filter(np.ones((1, 1, 3, 2), np.int8), bias=np.array([bias, -bias]), shift=np.array([shift]), rounding=rounding)
    x = np.array([[[1, -1, 1]], [[127, 127, -128]]], np.int8)
    expected, _ = convolve(x, filter, Window())
    np.testing.assert_array_equal(run_conv(kernels, Case(filter, Window(), x)), expected)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("shift", [24, 25, 26, 31, 40, 53, 54, 60, 63, -30, -45, -62, -63, -120])
def test_extreme_shifts(kernels: Kernels, rounding: Rounding, shift: int) -> None:
    weights = np.array([127, -128, 1, 0], np.int8).reshape(1, 1, 1, 4)
    filter = a_filter(weights, shift=np.array([shift]), rounding=rounding, output_dtype=INT16)
    x = np.array([-128, -1, 0, 1, 127], np.int8).reshape(1, 5, 1)
    expected, _ = convolve(x, filter, Window())
    np.testing.assert_array_equal(run_conv(kernels, Case(filter, Window(), x)), expected)


def test_sums_beyond_the_exact_range_of_binary32(kernels: Kernels) -> None:
    """A channel of 1025 products of 128 * 128 no longer fits 24 bits; the last product must still count."""
    weights = np.full((1, 1, 1025, 1), -128, np.int8)
    weights[0, 0, -1] = 1
    x = np.full((1, 1, 1025), -128, np.int8)
    x[0, 0, -1] = 1
    filter = a_filter(weights, bias=np.array([-(2**24)]))
    assert run_conv(kernels, Case(filter, Window(), x))[0, 0, 0] == 1


def test_sixteen_bit_products_need_no_64_bits_per_sum(kernels: Kernels) -> None:
    x = np.full((2, 2, 40), -32768, np.int16)
    filter = a_filter(np.full((2, 2, 40, 3), -32768, np.int16), shift=np.array([23]), input_dtype=INT16, output_dtype=INT16)
    case = Case(filter, Window(), x)
    np.testing.assert_array_equal(run_conv(kernels, case), convolve(x, filter, Window())[0])


def test_a_filter_larger_than_its_input_is_refused() -> None:
    with pytest.raises(EspdlError, match="larger than its padded input"):
        Window(pads=(0, 1, 0, 0)).output_extent(1, 9, (3, 1))


@pytest.mark.parametrize("changes", [{"strides": (0, 1)}, {"dilations": (1, -1)}, {"pads": (0, 0, -1, 0)}])
def test_impossible_windows_are_refused(changes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(EspdlError):
        Window(**changes)  # type: ignore[arg-type]


def test_absurd_pads_are_refused_before_memory_is_taken(kernels: Kernels) -> None:
    """A damaged file may ask for a border of terabytes around a small image."""
    window = Window(strides=(2**30, 2**30), pads=(2**30, 2**30, 2**30, 2**30))
    filter = a_filter(np.ones((1, 1, 1, 1), np.int8))
    out = np.empty((1, *window.output_extent(1, 1, (1, 1)), 1), np.int8)
    with pytest.raises(EspdlError, match="out of all proportion"):
        kernels.conv2d(filter, window)(np.ones((1, 1, 1, 1), np.int8), out)
