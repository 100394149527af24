"""Table look-up and the shift that ends every integer operator, in NumPy: the specification other backends are held to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.rounding import Rounding, saturate, shift_and_round


def shift_round_saturate(
    values: NDArray, shift: NDArray[np.int64], rounding: Rounding, out: NDArray, *, relu: bool = False
) -> None:
    """See :meth:`espdl.dl.base.Kernels.shift_round_saturate`."""
    shifted = shift_and_round(values, shift, rounding)
    if relu:
        shifted = np.maximum(shifted, 0)
    out[...] = saturate(shifted, out.dtype)


def table_step(table: NDArray, itemsize: int) -> int:
    """Distance between the inputs of two neighbouring entries. Raises :class:`EspdlError` for a table of impossible length."""
    if itemsize == 1:
        if table.size == 256:
            return 1
        raise EspdlError("a table for 8-bit values must have 256 entries", why=f"it has {table.size}")
    if table.size == 65536:
        return 1
    step = 65536 // max(table.size - 1, 1)
    if table.size < 2 or step * (table.size - 1) != 65536 or step & (step - 1):
        raise EspdlError(
            "a table for 16-bit values must have 65536 / step + 1 entries, step a power of two", why=f"it has {table.size}"
        )
    return step


def lookup(table: NDArray, x: NDArray, out: NDArray, rounding: Rounding) -> None:
    """See :meth:`espdl.dl.base.Kernels.lookup`."""
    step = table_step(table, x.itemsize)
    index: NDArray[np.integer] = x.astype(np.int32) - np.iinfo(x.dtype).min
    if step > 1:
        index = shift_and_round(index, step.bit_length() - 1, rounding)
    out[...] = table.reshape(-1)[index]
