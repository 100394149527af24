"""Random multiply-accumulate operators for property tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from espdl.chips import Accumulator
from espdl.dl.base import LaneRule, MacFilter, Window
from espdl.rounding import Rounding

INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)


@dataclass(frozen=True)
class Case:
    """One operator and one input image [H, W, C]."""

    filter: MacFilter
    window: Window
    x: NDArray


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, kind: str) -> NDArray:
    """Integers of a type: all of its range, only its ends, mostly small, or all its lowest value."""
    limits = np.iinfo(dtype)
    if kind == "ends":
        return rng.choice(np.array([limits.min, limits.max], dtype), size=shape)
    if kind == "lowest":
        return np.full(shape, limits.min, dtype)
    low, high = (-3, 4) if kind == "small" else (limits.min, limits.max + 1)
    return rng.integers(low, high, size=shape).astype(dtype)


@st.composite
def cases(draw: st.DrawFn, accumulators: st.SearchStrategy[Accumulator] | None = None) -> Case:
    """Operators of every form; ``accumulators`` gives lanes, one accumulator for the first channels and one for the others."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    small = st.integers(1, 3)
    kernel = (draw(small), draw(small))
    depthwise = draw(st.booleans())
    c = draw(st.integers(1, 9))
    n = c if depthwise else draw(st.integers(1, 5))
    window = Window(
        strides=(draw(small), draw(small)),
        dilations=(draw(small), draw(small)),
        pads=tuple(draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))),
    )
    height = max(window.dilations[0] * (kernel[0] - 1) + 1 - sum(window.pads[:2]), 1) + draw(st.integers(0, 3))
    width = max(window.dilations[1] * (kernel[1] - 1) + 1 - sum(window.pads[2:]), 1) + draw(st.integers(0, 3))
    input_dtype, weight_dtype = draw(st.sampled_from([(INT8, INT8), (INT16, INT16), (INT16, INT8)]))
    kinds = st.sampled_from(["full", "ends", "small", "lowest"])
    shape = (*kernel, n) if depthwise else (*kernel, c, n)
    bias_bits = draw(st.sampled_from([None, 4, 12, 19, 31, 39]))
    lanes = ()
    if accumulators is not None:
        split = draw(st.integers(0, n))
        lanes = (LaneRule(0, split, draw(accumulators)), LaneRule(split, n, draw(accumulators)))
    filter = MacFilter(
        weights=values(rng, shape, weight_dtype, draw(kinds)),
        depthwise=depthwise,
        bias=None if bias_bits is None else rng.integers(-(2**bias_bits), 2**bias_bits, size=n),
        shift=rng.integers(draw(st.sampled_from([-4, 0])), 18, size=draw(st.sampled_from([1, n]))),
        rounding=draw(st.sampled_from(list(Rounding))),
        relu=draw(st.booleans()),
        input_dtype=input_dtype,
        output_dtype=draw(st.sampled_from([INT8, INT16])),
        lanes=lanes,
    )
    return Case(filter, window, values(rng, (height, width, c), input_dtype, draw(kinds)))
