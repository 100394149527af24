"""Memory as chips want it: addresses and sizes that are multiples of 16 bytes (runtime spec 2.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError

ALIGNMENT = 16
"""Bytes: the width of the vector unit."""


def round_up(value: int, multiple: int = ALIGNMENT) -> int:
    """The smallest multiple of ``multiple`` that is not below ``value``."""
    return -(-value // multiple) * multiple


def aligned_zeros(size: int, alignment: int = ALIGNMENT) -> NDArray[np.uint8]:
    """``size`` zero bytes, rounded up to whole multiples of ``alignment``, at an address that is one.

    Returns:
        A flat uint8 array. Raises :class:`EspdlError` when this machine has not that much memory.
    """
    rounded = round_up(size, alignment)
    try:
        block = np.zeros(rounded + alignment, dtype=np.uint8)
    except (MemoryError, ValueError):
        raise EspdlError(f"{rounded} bytes of memory cannot be had") from None
    start = -block.ctypes.data % alignment
    return block[start : start + rounded]
