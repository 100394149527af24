"""The numbers that the oracles stand on, against examples worked out by hand from runtime spec 2.2 and 1.5."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from tests.cases.oracle.broadcast import innermost
from tests.cases.oracle.node import Array
from tests.cases.oracle.rounding import (
    HALF_EVEN,
    HALF_UP,
    clamp,
    fl32,
    quantize,
    round_double,
    round_exact,
    round_float,
    shift_and_round,
    wrap,
)
from tests.cases.packing import packed


@pytest.mark.parametrize(
    ("value", "up", "even"), [(0.5, 1, 0), (1.5, 2, 2), (2.5, 3, 2), (-0.5, 0, 0), (-1.5, -1, -2), (-2.5, -2, -2), (2.4, 2, 2)]
)
def test_ties(value: float, up: int, even: int) -> None:
    for function in (round_exact, round_float, round_double):
        assert (function(value, HALF_UP), function(value, HALF_EVEN)) == (up, even)
    tenths = int(value * 10)
    assert (shift_and_round(tenths, 0, HALF_UP), shift_and_round(tenths, -2, HALF_EVEN)) == (tenths, 4 * tenths)
    if tenths % 5 == 0:
        assert (shift_and_round(tenths // 5, 1, HALF_UP), shift_and_round(tenths // 5, 1, HALF_EVEN)) == (up, even)


def test_half_up_adds_in_binary32() -> None:
    below = fl32(0.49999997)
    assert below < 0.5
    assert (round_float(below, HALF_UP), round_float(below, HALF_EVEN), round_double(below, HALF_UP)) == (1, 0, 0)
    assert round_float(8388609.0, HALF_UP) == 8388610  # an odd integer above 2**23


def test_half_even_of_a_double_has_a_tolerance() -> None:
    assert (round_double(2.5 + 1e-7, HALF_EVEN), round_double(2.5 + 1e-5, HALF_EVEN)) == (2, 3)
    assert (round_double(-2.5 - 1e-7, HALF_EVEN), round_double(3.5, HALF_EVEN)) == (-2, 4)


def test_binary32() -> None:
    assert fl32(16777217.0) == 16777216.0
    assert fl32(Fraction(16777217)) == 16777216.0
    assert fl32(Fraction(1, 3)) == fl32(1 / 3) == 0.3333333432674408
    assert fl32(1e39) == fl32(Fraction(10) ** 39) == math.inf
    assert fl32(Fraction(1, 2**150) * 3) == fl32(2.0**-150 * 3) == 2.0**-148
    assert quantize(1e30, -30, "int16", HALF_UP) == 32767


def test_lanes() -> None:
    assert (clamp(524288, 20), clamp(-600000, 20), wrap(524288, 20), wrap(1048577, 20)) == (524287, -524288, -524288, 1)


def test_blocks_of_a_filter() -> None:
    """Two input and five output channels, extent 1, blocks of four: four outputs of each input, then the fifth."""
    filter = Array((1, 1, 2, 5), [10 * c + n for c in range(2) for n in range(5)])
    assert packed(filter, "conv", 4) == ([0, 1, 2, 3, 10, 11, 12, 13, 4, 14], "(N/4)HWC4_UNALIGNED")
    assert packed(filter, "conv", 1) == ([0, 10, 1, 11, 2, 12, 3, 13, 4, 14], "NHWC")
    depthwise = Array((2, 5, 1), [10 * k + n for k in range(2) for n in range(5)])
    assert packed(depthwise, "depthwise", 4) == ([0, 1, 2, 3, 10, 11, 12, 13, 4, 14], "(N/4)WC4_UNALIGNED")
    assert packed(depthwise, "depthwise", 1) == (list(depthwise.values), "WCN")


def test_innermost_loops() -> None:
    assert innermost((2, 3, 17), (1,)) == (102, 1)
    assert innermost((4, 6), (6,)) == (6, 6)
    assert innermost((1, 4, 5, 1), (1, 4, 5, 16)) == (1, 16)
    assert innermost((2, 1, 4, 1), (2, 3, 4, 5)) == (1, 5)
