"""The C++ products of computed matrices against the NumPy ones: every instruction set and thread count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espdl.chips import Accumulator, Overflow
from espdl.dl.base import LaneOverflows, LaneRule, get_kernels, missing_native_notice
from espdl.rounding import Rounding
from tests.dl.base.draws import INT8, INT16
from tests.dl.base.product_draws import TAGS, Case, a_case, drawn

if notice := missing_native_notice():
    pytest.skip(notice, allow_module_level=True)

from espdl.dl.base import _native

EXTENTS = (1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 48, 64, 65, 80, 100, 130)


def assert_same(case: Case) -> LaneOverflows:
    expected, overflows = case.run(get_kernels("numpy"))
    result, counted = case.run(get_kernels("native"))
    np.testing.assert_array_equal(result, expected)
    assert counted == overflows
    return counted


@given(case=drawn(st.sampled_from(EXTENTS)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_instruction_set(isa: str, case: Case) -> None:
    assert_same(case)


@pytest.mark.parametrize("types", [(INT16, INT16, INT16), (INT16, INT8, INT16), (INT8, INT16, INT8)])
@pytest.mark.parametrize("depth", [510, 511, 512, 1023])
def test_sums_of_words_near_32_bits(isa: str, types: tuple[np.dtype, np.dtype, np.dtype], depth: int) -> None:
    rng = np.random.default_rng(depth)
    for kinds in (("lowest", "lowest"), ("ends", "full")):
        assert_same(a_case(rng, (3, depth, 20), [(0, 0)], types=types, kinds=kinds, shift=24))


@pytest.mark.parametrize("rounding", list(Rounding))
def test_lanes_that_many_sums_leave(isa: str, rounding: Rounding) -> None:
    rng = np.random.default_rng(5)
    lanes = (LaneRule(0, 32, Accumulator(20, Overflow.SATURATE)), LaneRule(32, 35, Accumulator(40, Overflow.SATURATE, every=16)))
    case = a_case(rng, (20, 300, 35), [(0, 0), (1, 0), (0, 1)], tag=TAGS[2], lanes=lanes, rounding=rounding, shift=11)
    case.a[...] = np.abs(case.a >> 1) + 14
    case.b[...] = np.abs(case.b >> 1) + np.arange(35) - 12
    counted = assert_same(case)
    assert counted.count > 300
    assert max(counted.channels) < 32


def test_a_lane_that_only_the_matrix_proves_wide_enough() -> None:
    """All inputs at their lowest, and a sum of weights that just fits, or just does not."""
    rng = np.random.default_rng(0)
    lanes = (LaneRule(0, 16, Accumulator(20, Overflow.SATURATE)),)
    case = a_case(rng, (2, 64, 16), [(0, 0)], kinds=("lowest", "small"), lanes=lanes)
    case.b[...] = 0
    case.b[0, :32] = -128
    case.b[0, 31] = -127
    assert assert_same(case) == LaneOverflows()
    case.b[0, 31] = -128
    assert assert_same(case) == LaneOverflows(32, tuple(range(16)))


@pytest.mark.parametrize("types", [(INT8, INT8, INT8), (INT16, INT16, INT16)])
def test_work_that_is_split_over_threads(threads: int, types: tuple[np.dtype, np.dtype, np.dtype]) -> None:
    rng = np.random.default_rng(1)
    lanes = (LaneRule(0, 208, Accumulator(20 if types[0] == INT8 else 36, Overflow.SATURATE)),)
    pairs = [(0, 0), (1, 1), (0, 1), (1, 0)]
    shift = 10 if types[0] == INT8 else 20
    assert_same(a_case(rng, (300, 200, 210), pairs, types=types, tag=TAGS[2], shift=shift, lanes=lanes))
    assert_same(a_case(rng, (5, 1100, 1000), [(0, 0), (0, 1), (0, 2)], types=types, shift=shift))


def test_an_output_on_top_of_an_input() -> None:
    rng = np.random.default_rng(3)
    case = a_case(rng, (8, 8, 8), [(0, 0)])
    expected, _ = case.run(get_kernels("numpy"))
    get_kernels("native").product(case.product).step(case.a, case.b, case.a)()
    np.testing.assert_array_equal(case.a, expected)


def test_sizes_places_and_accumulators_that_do_not_fit_are_refused() -> None:
    a, b, out = np.zeros((2, 3), np.int8), np.zeros((3, 4), np.int8), np.zeros((2, 4), np.int8)
    order = [(n, 4) for n in range(4)]

    def made(size=(2, 3, 4), pairs=((0, 0),), order=order, shift=(0,) * 4, lanes=(), out=out) -> None:  # type: ignore[no-untyped-def]
        _native.ProductStep(a, b, out, size, list(pairs), order, list(shift), False, False, list(lanes))

    made()
    for wrong in (
        {"size": (2, 4, 3)},
        {"size": (2, 3, 0)},
        {"pairs": ()},
        {"pairs": ((1, 0),)},
        {"order": [(n, 5) for n in range(4)]},
        {"order": [(0, 0)] * 4},
        {"shift": (0,)},
        {"lanes": [(0, 5, -8, 7, 1, True)]},
        {"lanes": [(0, 4, -8, 8, 1, True)]},
        {"out": out.astype(np.int32)},
    ):
        with pytest.raises(ValueError, match=r"matri|size|outside|column|accumulators|nothing"):
            made(**wrong)
