"""From exact sums to an output: bias, shift with the chip's rounding, Relu, saturation (spec 3.2)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.kernels import MacFilter
from espdl.rounding import Rounding, saturate, shift_and_round

EXACT_BELOW: dict[np.dtype, float] = {np.dtype(np.float32): 2.0**24, np.dtype(np.float64): 2.0**53}
"""Every integer of smaller magnitude is a value of the float type, so products and sums that stay below are exact in any order."""

_FLUSHING_SHIFT: dict[np.dtype, int] = {np.dtype(np.float32): 25, np.dtype(np.float64): 54}
_SATURATING_SHIFT = 40


class Epilogue(Protocol):
    """Turns sums without bias, [rows, N], into outputs [rows, N]. It may use ``sums`` as scratch memory."""

    def __call__(self, sums: NDArray, out: NDArray) -> None: ...


class FloatEpilogue:
    """Computes in the float type of the sums, where every step is exact (DESIGN: prove before you pay).

    A right shift is a product with a power of two, exact in binary floating point; half-up rounding is the addition of half a step
    to the integer sum and a floor; half-even rounding is ``rint``.
    """

    def __init__(self, filter: MacFilter, sum_bound: NDArray[np.float64], dtype: np.dtype) -> None:
        self.dtype = dtype
        shift = np.broadcast_to(filter.shift, (filter.channels,)).astype(np.int64)
        offset = np.zeros(filter.channels) if filter.bias is None else filter.bias.astype(np.float64)
        self.half_even = filter.rounding is Rounding.HALF_EVEN
        flushing = _FLUSHING_SHIFT[dtype]
        if not self.half_even:
            offset = offset + np.where(shift > 0, np.ldexp(0.5, np.clip(shift, 0, flushing)), 0.0)
        self.is_exact = bool(np.all(sum_bound + np.abs(offset) < EXACT_BELOW[dtype]))
        scale = np.ldexp(1.0, -np.clip(shift, -_SATURATING_SHIFT, flushing)).astype(dtype)
        self.offset = offset.astype(dtype) if offset.any() else None
        self.scale = scale if np.ptp(scale) else scale[0]
        limits = np.iinfo(filter.output_dtype)
        self.low = dtype.type(0 if filter.relu else limits.min)
        self.high = dtype.type(limits.max)

    def __call__(self, sums: NDArray, out: NDArray) -> None:
        if self.offset is not None:
            sums += self.offset
        sums *= self.scale
        (np.rint if self.half_even else np.floor)(sums, out=sums)
        np.clip(sums, self.low, self.high, out=sums)
        np.copyto(out, sums, casting="unsafe")


class IntegerEpilogue:
    """The same in 64-bit integers, word for word as the spec has it."""

    def __init__(self, filter: MacFilter) -> None:
        self.filter = filter

    def __call__(self, sums: NDArray, out: NDArray) -> None:
        wide = sums.astype(np.int64)
        if self.filter.bias is not None:
            wide += self.filter.bias
        finish(wide, self.filter.shift, self.filter, out)


def finish(sums: NDArray[np.int64], shift: NDArray[np.int64], filter: MacFilter, out: NDArray) -> None:
    """Shift, Relu and saturation of sums that hold their bias; ``shift`` broadcasts against them."""
    values = shift_and_round(sums, shift, filter.rounding)
    if filter.relu:
        values = np.maximum(values, 0)
    out[...] = saturate(values, filter.output_dtype)
