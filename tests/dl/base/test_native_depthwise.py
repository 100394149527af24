"""Depthwise kernels of every instruction set against the NumPy ones: filters of any height, sums of one and of two planes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espdl.dl.base import MacFilter, Window, missing_native_notice
from espdl.rounding import Rounding
from tests.dl.base.compare import assert_same
from tests.dl.base.draws import INT8, INT16, values

if notice := missing_native_notice():
    pytest.skip(notice, allow_module_level=True)

KINDS = ("full", "ends", "small", "lowest")
SHIFTS = ((8, 38), (8, 8), (9, 20), (0, 31), (-2, 40), (14, 17))


@st.composite
def drawn(draw: st.DrawFn) -> tuple[MacFilter, Window, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (5, 5), (7, 7), (1, 7), (1, 3), (9, 2), (6, 3), (4, 3), (2, 4), (1, 1)]))
    c = draw(st.sampled_from([1, 5, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 95, 130]))
    stride, dilation = st.integers(1, 3), st.sampled_from([1, 1, 2])
    window = Window(
        strides=(draw(stride), draw(stride)),
        dilations=(draw(dilation), draw(dilation)),
        pads=tuple(draw(st.lists(st.integers(0, 4), min_size=4, max_size=4))),
    )
    reach = [d * (k - 1) + 1 for d, k in zip(window.dilations, kernel, strict=True)]
    height = max(reach[0] - sum(window.pads[:2]), 1) + draw(st.integers(0, 5))
    width = max(reach[1] - sum(window.pads[2:]), 1) + draw(st.integers(0, 12))
    input_dtype, weight_dtype = draw(st.sampled_from([(INT8, INT8), (INT8, INT8), (INT16, INT16), (INT16, INT8), (INT8, INT16)]))
    bias_bits = draw(st.sampled_from([None, 10, 19, 30, 37, 45]))
    shift = draw(st.sampled_from(SHIFTS))
    filter = MacFilter(
        weights=values(rng, (*kernel, c), weight_dtype, draw(st.sampled_from(KINDS))),
        depthwise=True,
        bias=None if bias_bits is None else rng.integers(-(2**bias_bits), 2**bias_bits, size=c),
        shift=rng.integers(shift[0], shift[1] + 1, size=draw(st.sampled_from([1, c]))),
        rounding=draw(st.sampled_from(list(Rounding))),
        relu=draw(st.booleans()),
        input_dtype=input_dtype,
        output_dtype=draw(st.sampled_from([input_dtype, INT8, INT16])),
    )
    return filter, window, values(rng, (1, height, width, c), input_dtype, draw(st.sampled_from(KINDS)))


@given(case=drawn())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_instruction_set(isa: str, case: tuple[MacFilter, Window, np.ndarray]) -> None:
    assert_same(*case)


@pytest.mark.parametrize("dtype", [INT8, INT16])
@pytest.mark.parametrize(
    ("kernel", "width", "dilation", "stride"),
    [
        ((5, 5), 300, 1, 1),
        ((5, 5), 301, 1, 2),
        ((3, 3), 300, 1, 1),
        ((3, 3), 300, 70, 1),
        ((2, 3), 290, 140, 2),
        ((9, 9), 150, 3, 1),
    ],
)
def test_rows_longer_than_what_is_kept(
    isa: str, dtype: np.dtype, kernel: tuple[int, int], width: int, dilation: int, stride: int
) -> None:
    rng = np.random.default_rng(0)
    shift = np.array([9 if dtype == INT8 else 18])
    filter = MacFilter(values(rng, (*kernel, 70), dtype, "full"), True, None, shift, Rounding.HALF_EVEN, False, dtype, dtype)
    window = Window(strides=(1, stride), dilations=(1, dilation), pads=(4, 4, 2, 2))
    assert_same(filter, window, values(rng, (1, 4, width, 70), dtype, "full"))


@pytest.mark.parametrize(("kernel", "bias"), [((20, 25), 2**37), ((12, 20), 2**33)])
def test_the_lowest_values_in_both_planes(isa: str, kernel: tuple[int, int], bias: int) -> None:
    """500 taps are the most that two planes of 32 bits hold; 240 are about the most whose sums are then finished in 32 bits."""
    x = np.full((1, *kernel, 33), -32768, np.int16)
    for weight in (-32768, -32640, 32767, 127):
        weights = np.full((*kernel, 33), weight, np.int16)
        for shift in (24, 31):
            for sign in (-1, 1):
                filter = MacFilter(
                    weights, True, np.full(33, sign * bias), np.array([shift]), Rounding.HALF_EVEN, False, INT16, INT16
                )
                assert_same(filter, Window(), x)
