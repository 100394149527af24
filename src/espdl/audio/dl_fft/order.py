"""Lengths and orders of transforms."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError


def log2_of(points: int, least: int = 1) -> int:
    """log2 of a length.

    Raises:
        EspdlError: when it is no power of two, or shorter than ``least``.
    """
    if points < least or points & (points - 1):
        raise EspdlError(f"a transform of {points} points cannot be had", why=f"lengths are powers of two from {least}")
    return points.bit_length() - 1


@cache
def reversed_digits(points: int, bits: int) -> NDArray[np.intp]:
    """For each index the one with its digits of ``bits`` bits in the opposite order; ``points`` is a power of ``2**bits``."""
    count = log2_of(points) // bits
    indices, result = np.arange(points), np.zeros(points, np.intp)
    for _ in range(count):
        result = (result << bits) | (indices & ((1 << bits) - 1))
        indices >>= bits
    result.flags.writeable = False
    return result
