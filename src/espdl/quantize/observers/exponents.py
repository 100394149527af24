"""From a range of real values to a power-of-two exponent."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SMALLEST_EXPONENT = -26


def exponent_for_range(magnitude: float, bits: int) -> int:
    """The smallest exponent whose ``2**bits`` steps span [-magnitude, magnitude] (quantizer spec 6.1); at least -26.

    Zeros are exact at any exponent; they get that of the range [-1, 1), so that what is computed with them stays in a usual range.
    """
    if magnitude == 0:
        return 1 - bits
    return max(math.ceil(math.log2(2.0 * magnitude / (2**bits - 1))), SMALLEST_EXPONENT)


def nearest_exponent(step: float) -> int:
    """The exponent nearest to ``log2(step)`` of a positive step, ties upwards; at least -26."""
    return max(math.floor(math.log2(step) + 0.5), SMALLEST_EXPONENT)


def squared_error(values: NDArray, exponents: NDArray[np.int64], bits: int, axis: int | None) -> NDArray[np.float64]:
    """Sum of squared errors of ``values`` quantized to ``bits``.

    Args:
        values: any shape.
        exponents: one, shape [1], or one per entry of ``axis``.
        axis: channel axis; None for one exponent.

    Returns:
        One sum per exponent.
    """
    rows = values.astype(np.float64).reshape(1, -1) if axis is None else np.moveaxis(values.astype(np.float64), axis, 0)
    rows = rows.reshape(len(exponents), -1)
    step = np.ldexp(1.0, exponents)[:, None]
    limit = 2.0 ** (bits - 1)
    error = np.clip(np.rint(rows / step), -limit, limit - 1) * step - rows
    return np.einsum("cv,cv->c", error, error)
