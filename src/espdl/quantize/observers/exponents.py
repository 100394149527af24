"""From a range of real values to a power-of-two exponent."""

from __future__ import annotations

import math

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
