"""Multiply-accumulate operators one product at a time on Python integers: slow, and hard to get wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Overflow
from espdl.dl.base import LaneRule, MacFilter, Window
from espdl.rounding import Rounding


def divide(value: int, shift: int, rounding: Rounding) -> int:
    """``value / 2**shift`` rounded."""
    if shift <= 0:
        return value << -shift
    quotient, twice_rest = value >> shift, 2 * (value & ((1 << shift) - 1))
    step = 1 << shift
    if twice_rest > step or (twice_rest == step and (rounding is Rounding.HALF_UP or quotient % 2 == 1)):
        quotient += 1
    return quotient


def clamp(value: int, dtype: np.dtype) -> int:
    limits = np.iinfo(dtype)
    return min(max(value, int(limits.min)), int(limits.max))


def accumulate(bias: int, taps: list[list[int]], rule: LaneRule | None) -> int:
    """The sum as the accumulator holds it at the end; ``taps`` are the products of each filter position."""
    if rule is None:
        return bias + sum(sum(tap) for tap in taps)
    bits, every = rule.accumulator.bits, rule.accumulator.every
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if rule.accumulator.overflow is Overflow.WRAP:
        exact = bias + sum(sum(tap) for tap in taps)
        return (exact - low) % 2**bits + low
    value = min(max(bias, low), high)
    for tap in taps:
        for start in range(0, len(tap), every):
            value = min(max(value + sum(tap[start : start + every]), low), high)
    return value


def convolve(x: NDArray, filter: MacFilter, window: Window) -> tuple[NDArray, int]:
    """Output [OH, OW, N] for an image [H, W, C], and how many sums differ from the exact ones."""
    height, width, channels = x.shape
    rows, columns = filter.kernel
    top, bottom, left, right = window.pads
    out_rows = (height + top + bottom - (window.dilations[0] * (rows - 1) + 1)) // window.strides[0] + 1
    out_columns = (width + left + right - (window.dilations[1] * (columns - 1) + 1)) // window.strides[1] + 1
    result = np.zeros((out_rows, out_columns, filter.channels), filter.output_dtype)
    differing = 0
    for n in range(filter.channels):
        rule = next((rule for rule in filter.lanes if rule.start <= n < rule.stop), None)
        bias = 0 if filter.bias is None else int(filter.bias[n])
        shift = int(filter.shift[n if filter.shift.size > 1 else 0])
        for oy in range(out_rows):
            for ox in range(out_columns):
                taps = []
                for ky in range(rows):
                    for kx in range(columns):
                        iy = oy * window.strides[0] - top + ky * window.dilations[0]
                        ix = ox * window.strides[1] - left + kx * window.dilations[1]
                        if not (0 <= iy < height and 0 <= ix < width):
                            continue
                        if filter.depthwise:
                            taps.append([int(x[iy, ix, n]) * int(filter.weights[ky, kx, n])])
                        else:
                            taps.append([int(x[iy, ix, c]) * int(filter.weights[ky, kx, c, n]) for c in range(channels)])
                value = accumulate(bias, taps, rule)
                differing += value != accumulate(bias, taps, None)
                value = divide(value, shift, filter.rounding)
                result[oy, ox, n] = clamp(max(value, 0) if filter.relu else value, filter.output_dtype)
    return result, differing
