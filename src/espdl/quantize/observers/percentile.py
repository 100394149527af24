"""Range that leaves out the largest ten-thousandth of the values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.observers.base import Observer
from espdl.quantize.observers.exponents import exponent_for_range

PERCENTILE = 0.9999
SHOWN = 1 << 12
"""Values that say where the largest of many lie."""


class PercentileObserver(Observer, name="percentile"):
    """The upper and the lower percentile of every batch, each averaged over the batches (quantizer spec 6.2)."""

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__(bits, axis)
        self._upper = self._lower = 0.0
        self._batches = 0

    def observe(self, values: NDArray) -> None:
        flat = values.reshape(-1)
        if not flat.size:
            return
        upper = min(int(flat.size * PERCENTILE), flat.size - 1)
        lower = min(int(flat.size * (1 - PERCENTILE)), flat.size - 1)
        self._upper += _largest(flat, flat.size - upper)
        self._lower -= _largest(-flat, lower + 1)
        self._batches += 1

    def exponents(self) -> tuple[int, ...]:
        batches = self._batches or 1
        return (exponent_for_range(max(self._upper / batches, -self._lower / batches, 0.0), self.bits),)


def _largest(values: NDArray, place: int) -> float:
    """The value that ``place - 1`` values are larger than, or as large as."""
    if values.size > SHOWN and place * 50 < values.size:
        # Only what a few values put among the largest twenty-fifth has to be ordered.
        few = values[:: values.size // SHOWN]
        above = values[values >= np.partition(few, -(len(few) // 25))[-(len(few) // 25)]]
        if len(above) >= place:
            values = above
    return float(np.partition(values, len(values) - place)[len(values) - place])
