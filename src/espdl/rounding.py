"""The two rounding rules of ESP chips, and the integer arithmetic built on them.

``HALF_UP`` rounds ties towards plus infinity (ESP32, ESP32-S3, chips without vector unit); ``HALF_EVEN`` rounds ties to the even
neighbour (ESP32-P4, ESP32-S31). Exact semantics: runtime spec 2.2.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

_NORMAL = 126
"""Powers of two below it are normal binary32 numbers, and so are their reciprocals."""


class Rounding(enum.Enum):
    """How a tie between two integers is decided."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"


def round_float(values: ArrayLike, rounding: Rounding) -> NDArray[np.floating]:
    """Rounds binary32 or binary64 values to integers, kept as floats of the same width (spec 2.2 ``tool::round``).

    Half-up is ``floor(v + 0.5)`` with the sum rounded to the width of ``v`` first, as the chip computes it: the binary32 predecessor
    of 0.5 gives 1.
    """
    array = np.asarray(values)
    if rounding is Rounding.HALF_EVEN:
        return np.rint(array)
    return np.floor(array + array.dtype.type(0.5))


def saturate(values: ArrayLike, dtype: np.dtype | type[np.integer]) -> NDArray[np.integer]:
    """Clamps to the range of the integer ``dtype`` and converts. NaN becomes 0."""
    limits = np.iinfo(dtype)
    array = np.asarray(values)
    clipped = np.clip(array, limits.min, limits.max)
    if array.dtype.kind == "f" and (unordered := np.isnan(clipped)).any():
        clipped = np.where(unordered, array.dtype.type(0), clipped)
    return clipped.astype(dtype)


def shift_and_round(values: ArrayLike, shift: ArrayLike, rounding: Rounding) -> NDArray[np.int64]:
    """``values / 2**shift`` in 64-bit integers, rounded (spec 2.2). Not saturated.

    Args:
        values: integers whose magnitude, plus half a step, fits in 64 bits.
        shift: one integer, or an array that broadcasts against ``values`` (one shift per output channel). Negative shifts multiply,
            clamped to the 64-bit range.
    """
    v = np.asarray(values, dtype=np.int64)
    s = np.asarray(shift, dtype=np.int64)
    right = np.clip(s, 0, 63)
    left = np.clip(-s, 0, 63)
    floor = v >> right
    remainder = v - (floor << right)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), np.int64(0))
    tie_up = np.bool_(True) if rounding is Rounding.HALF_UP else (floor & 1).astype(bool)
    rounds_up = (right > 0) & ((remainder > half) | ((remainder == half) & tie_up))
    result = floor + rounds_up
    if np.any(left):
        ends = np.iinfo(np.int64)
        limit = ends.max >> left
        shifted = np.clip(v, -limit - 1, limit) << left
        shifted = np.where(v > limit, ends.max, np.where(v < -limit - 1, ends.min, shifted))
        result = np.where(left > 0, shifted, result)
    return np.asarray(result, dtype=np.int64)


def quantize(
    values: ArrayLike, exponent: ArrayLike, dtype: np.dtype | type[np.integer], rounding: Rounding
) -> NDArray[np.integer]:
    """Real values to integers: ``saturate(round(fl32(x * 2**-exponent)))`` (spec 2.2 ``quantize``).

    Args:
        values: any shape; binary64 stays binary64, everything else is computed in binary32.
        exponent: one integer, or an array that broadcasts against ``values``.
        dtype: the integer type of the result.
    """
    array = np.asarray(values)
    if array.dtype != np.float64:
        array = array.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        shift = -np.asarray(exponent, dtype=np.int32)
        if shift.ndim == 0 and -_NORMAL < shift < _NORMAL:
            scaled = array * array.dtype.type(2.0 ** int(shift))  # the same number as ldexp gives, sooner
        else:
            scaled = np.ldexp(array, shift)
        return saturate(round_float(scaled, rounding), dtype)


def dequantize(values: ArrayLike, exponent: ArrayLike) -> NDArray[np.float32]:
    """Integers to real values: ``fl32(x) * 2**exponent`` (spec 2.2 ``dequantize``)."""
    reals, shift = np.asarray(values).astype(np.float32), np.asarray(exponent, dtype=np.int32)
    if shift.ndim or not -_NORMAL < shift < _NORMAL:
        return np.ldexp(reals, shift)
    reals *= np.float32(2.0 ** int(shift))  # the same number as ldexp gives, sooner
    return reals
