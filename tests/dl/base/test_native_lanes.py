"""Accumulators of every kind, native against NumPy: what leaves them is added up again in the chip's order (runtime spec 3.2)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espdl.chips import Accumulator, Overflow
from espdl.dl.base import LaneRule, MacFilter, Window, get_kernels, missing_native_notice
from espdl.rounding import Rounding
from tests.dl.base.compare import assert_same, outcome
from tests.dl.base.draws import INT8, INT16, values

if notice := missing_native_notice():
    pytest.skip(notice, allow_module_level=True)

KINDS = ("full", "full", "ends", "lowest")
SETTINGS = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
accumulators = st.builds(
    Accumulator,
    bits=st.sampled_from([12, 16, 17, 20, 31, 32, 33, 36, 40, 62, 63, 64]),
    overflow=st.sampled_from([Overflow.SATURATE, Overflow.SATURATE, Overflow.WRAP]),
    every=st.sampled_from([1, 1, 3, 8, 16]),
)


@st.composite
def drawn(draw: st.DrawFn, depthwise: bool) -> tuple[MacFilter, Window, np.ndarray]:
    """Biases near the ends of the first accumulator, so that few products are enough to leave it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (2, 3), (5, 5), (1, 4)]))
    c = draw(st.sampled_from([1, 3, 8, 15, 16, 17, 33, 50]))
    n = c if depthwise else draw(st.sampled_from([1, 15, 16, 18, 33, 50]))
    step = st.integers(1, 2)
    window = Window(
        strides=(draw(step), draw(step)),
        dilations=(draw(step), draw(step)),
        pads=tuple(draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))),
    )
    height = max(window.dilations[0] * (kernel[0] - 1) + 1 - sum(window.pads[:2]), 1) + draw(st.integers(0, 5))
    width = max(window.dilations[1] * (kernel[1] - 1) + 1 - sum(window.pads[2:]), 1) + draw(st.integers(0, 7))
    input_dtype, weight_dtype = draw(st.sampled_from([(INT8, INT8), (INT16, INT16), (INT16, INT8), (INT8, INT16)]))
    first, second, split = draw(accumulators), draw(accumulators), draw(st.integers(0, n))
    end = 2.0 ** (first.bits - 1)
    bias = np.clip(rng.uniform(-1.1, 1.1, n) * end, -(2.0**63), 2.0**62).astype(np.int64)
    top = max(first.bits - 4, 1)
    filter = MacFilter(
        weights=values(rng, (*kernel, n) if depthwise else (*kernel, c, n), weight_dtype, draw(st.sampled_from(KINDS))),
        depthwise=depthwise,
        bias=draw(st.sampled_from([None, bias, bias // 3])),
        shift=rng.integers(draw(st.sampled_from([-2, 0, top - 1])), top, size=draw(st.sampled_from([1, n]))),
        rounding=draw(st.sampled_from(list(Rounding))),
        relu=draw(st.booleans()),
        input_dtype=input_dtype,
        output_dtype=draw(st.sampled_from([INT8, INT16])),
        lanes=(LaneRule(0, split, first), LaneRule(split, draw(st.sampled_from([split, n])), second)),
    )
    return filter, window, values(rng, (1, height, width, c), input_dtype, draw(st.sampled_from(KINDS)))


@given(case=drawn(depthwise=True))
@SETTINGS
def test_depthwise(isa: str, case: tuple[MacFilter, Window, np.ndarray]) -> None:
    assert_same(*case)


@given(case=drawn(depthwise=False))
@SETTINGS
def test_dense(isa: str, case: tuple[MacFilter, Window, np.ndarray]) -> None:
    assert_same(*case)


def a_filter(shape: tuple[int, ...], dtype: np.dtype, lane: Accumulator, bias: int, shift: int) -> MacFilter:
    rng = np.random.default_rng(0)
    n = shape[-1]
    weights = values(rng, shape, dtype, "full")
    biases = rng.integers(-bias, bias + 1, n)
    lanes = (LaneRule(0, n, lane),)
    return MacFilter(weights, len(shape) == 3, biases, np.array([shift]), Rounding.HALF_UP, False, dtype, dtype, lanes)


CASES = [
    ((3, 3, 70), INT8, Accumulator(20, Overflow.SATURATE), 500_000, 12),
    ((5, 5, 33), INT8, Accumulator(17, Overflow.SATURATE), 0, 10),
    ((3, 3, 40), INT16, Accumulator(32, Overflow.SATURATE), 2**30, 16),
    ((3, 3, 40), INT8, Accumulator(17, Overflow.WRAP), 0, 9),
    ((1, 1, 300, 40), INT8, Accumulator(19, Overflow.SATURATE, every=16), 0, 11),
    ((1, 1, 300, 40), INT8, Accumulator(19, Overflow.WRAP), 0, 11),
    ((3, 3, 64, 24), INT16, Accumulator(36, Overflow.SATURATE), 2**30, 20),
    ((3, 3, 64, 24), INT16, Accumulator(36, Overflow.SATURATE, every=8), 2**30, 20),
]


@pytest.mark.parametrize(("shape", "dtype", "lane", "bias", "shift"), CASES)
def test_some_sums_leave_on_every_thread_count(
    threads: int, shape: tuple[int, ...], dtype: np.dtype, lane: Accumulator, bias: int, shift: int
) -> None:
    rng = np.random.default_rng(1)
    x = values(rng, (1, 23, 21, shape[2]), dtype, "full")
    pads = (1, 1, 1, 1) if shape[0] == 3 else (0, 0, 0, 0)
    filter = a_filter(shape, dtype, lane, bias, shift)
    overflows = assert_same(filter, Window(pads=pads), x)
    assert overflows.count > 0
    assert assert_same(filter, Window(pads=pads), x // 16).count < overflows.count


@pytest.mark.parametrize("case", [CASES[0], CASES[4]])
def test_a_table_behind_sums_that_left(isa: str, case: tuple) -> None:
    shape, *rest = case
    rng = np.random.default_rng(2)
    filter, x = a_filter(shape, *rest), values(rng, (1, 9, 8, shape[2]), INT8, "full")
    table = values(rng, (256,), INT8, "full")
    expected, overflows = outcome("numpy", filter, Window(), x)
    out = np.empty_like(expected)
    kernel = get_kernels("native").conv2d(filter, Window())
    assert kernel.table_step is not None
    kernel.table_step(x, out, table)()
    np.testing.assert_array_equal(out, table[expected.astype(int) + 128])
    assert kernel.lane_overflows == overflows
    assert overflows.count


def test_nothing_is_done_twice_where_nothing_left() -> None:
    """Counts are those of the last call, and inputs that prove every sum safe leave none."""
    filter = a_filter((3, 3, 40), INT8, Accumulator(17, Overflow.SATURATE), 0, 9)
    kernel = get_kernels("native").conv2d(filter, Window())
    x, out = np.full((1, 9, 9, 40), 127, np.int8), np.empty((1, 7, 7, 40), np.int8)
    step = kernel.step(x, out)
    step()
    assert kernel.lane_overflows.count
    x[...] = 1
    step()
    assert kernel.lane_overflows.count == 0
