"""Accumulators that saturate or wrap, against one multiply-accumulate at a time (runtime spec 3.2)."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.chips import Accumulator, Overflow
from espdl.dl.base import Kernels, LaneRule, MacFilter, Window, lanes
from espdl.rounding import Rounding
from tests.dl.base.draws import INT8, INT16, Case, cases
from tests.dl.base.oracle import convolve

saturating = st.builds(
    Accumulator,
    bits=st.sampled_from([8, 12, 16, 20, 32, 40, 64]),
    overflow=st.just(Overflow.SATURATE),
    every=st.sampled_from([1, 1, 2, 3, 8]),
)
wrapping = st.builds(Accumulator, bits=st.sampled_from([10, 16, 24, 32, 64]), overflow=st.just(Overflow.WRAP))


def run(kernels: Kernels, case: Case) -> tuple[np.ndarray, int, tuple[int, ...]]:
    extent = case.window.output_extent(*case.x.shape[:2], case.filter.kernel)
    out = np.empty((1, *extent, case.filter.channels), case.filter.output_dtype)
    kernel = kernels.conv2d(case.filter, case.window)
    kernel(case.x[None], out)
    return out[0], kernel.lane_overflows.count, kernel.lane_overflows.channels


@given(case=cases(accumulators=saturating))
def test_saturation_at_every_step(kernels: Kernels, case: Case) -> None:
    expected, differing = convolve(case.x, case.filter, case.window)
    result, count, channels = run(kernels, case)
    np.testing.assert_array_equal(result, expected)
    assert count == differing
    assert bool(channels) == bool(count)


@given(case=cases(accumulators=saturating), stretch=st.integers(1, 6))
def test_proving_stretch_by_stretch_clears_no_guilty_sum(kernels: Kernels, case: Case, stretch: int) -> None:
    expected, differing = convolve(case.x, case.filter, case.window)
    with mock.patch.object(lanes, "_FEW", 0), mock.patch.object(lanes, "_STRETCH", stretch):
        result, count, _ = run(kernels, case)
    np.testing.assert_array_equal(result, expected)
    assert count == differing


@given(case=cases(accumulators=wrapping))
def test_wrapping(kernels: Kernels, case: Case) -> None:
    expected, differing = convolve(case.x, case.filter, case.window)
    result, count, _ = run(kernels, case)
    np.testing.assert_array_equal(result, expected)
    assert count == differing


def twenty_bit_lanes(weights: np.ndarray, bias: np.ndarray | None = None) -> MacFilter:
    block = LaneRule(0, 16, Accumulator(20, Overflow.SATURATE))
    rest = LaneRule(16, weights.shape[-1], Accumulator(40, Overflow.SATURATE, every=16))
    return MacFilter(weights, False, bias, np.array([12]), Rounding.HALF_UP, False, INT8, INT8, (block, rest))


def test_a_lane_that_saturates_on_the_way_does_not_recover(kernels: Kernels) -> None:
    """40 products of 16384 leave 20 bits (32 fit), 40 of -16384 return: exactly 0, on the chip 8 x -16384 and what the clamp took."""
    x = np.concatenate([np.full(40, -128), np.full(40, 127)]).astype(np.int8).reshape(1, 1, 80)
    weights = np.full((1, 1, 80, 18), -128, np.int8)
    filter = twenty_bit_lanes(weights)
    result, count, channels = run(kernels, Case(filter, Window(), x))
    exact = 40 * 16384 - 40 * 127 * 128
    clamped = 2**19 - 1 - 40 * 127 * 128
    assert result[0, 0, 0] == (clamped + 2048) >> 12
    assert result[0, 0, 17] == (exact + 2048) >> 12
    assert count == 16
    assert channels == tuple(range(16))


def test_sums_that_only_look_dangerous_are_not_counted(kernels: Kernels) -> None:
    x = np.tile(np.array([100, -100], np.int8), 60).reshape(1, 1, 120)
    result, count, channels = run(kernels, Case(twenty_bit_lanes(np.full((1, 1, 120, 16), 100, np.int8)), Window(), x))
    assert not result.any()
    assert (count, channels) == (0, ())


def test_overflows_are_those_of_the_last_run(kernels: Kernels) -> None:
    kernel = kernels.linear(twenty_bit_lanes(np.full((1, 1, 64, 16), 127, np.int8)))
    out = np.empty((1, 16), np.int8)
    kernel(np.full((1, 64), 127, np.int8), out)
    assert kernel.lane_overflows.count == 16
    kernel(np.ones((1, 64), np.int8), out)
    assert kernel.lane_overflows.count == 0


def test_groups_are_added_exactly_and_do_not_span_taps(kernels: Kernels) -> None:
    """With three channels and groups of two, each tap is a pair and a single: the pair cancels before the lane sees it."""
    weights = np.array([127, -127, 1], np.int8).reshape(1, 1, 3, 1).repeat(2, axis=0)
    lane = LaneRule(0, 1, Accumulator(8, Overflow.SATURATE, every=2))
    filter = MacFilter(weights, False, None, np.array([0]), Rounding.HALF_UP, False, INT8, INT16, (lane,))
    result, count, _ = run(kernels, Case(filter, Window(), np.full((2, 1, 3), 50, np.int8)))
    assert (result[0, 0, 0], count) == (100, 0)
    one_by_one = LaneRule(0, 1, Accumulator(8, Overflow.SATURATE))
    filter = MacFilter(weights, False, None, np.array([0]), Rounding.HALF_UP, False, INT8, INT16, (one_by_one,))
    result, count, _ = run(kernels, Case(filter, Window(), np.full((2, 1, 3), 50, np.int8)))
    assert (result[0, 0, 0], count) == (-78, 1)


@pytest.mark.parametrize("bias", [2**63 - 5, -(2**63)])
def test_a_64_bit_lane_saturates_where_python_integers_would_go_on(kernels: Kernels, bias: int) -> None:
    lane = LaneRule(0, 1, Accumulator(64, Overflow.SATURATE))
    weights = np.full((1, 1, 2, 1), 100, np.int16)
    filter = MacFilter(weights, False, np.array([bias]), np.array([50]), Rounding.HALF_EVEN, False, INT16, INT16, (lane,))
    x = np.full((1, 1, 2), 1 if bias > 0 else -1, np.int16)
    expected, differing = convolve(x, filter, Window())
    result, count, _ = run(kernels, Case(filter, Window(), x))
    np.testing.assert_array_equal(result, expected)
    assert count == differing == 1
