"""Range of all values seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.observers.base import Observer, as_rows
from espdl.quantize.observers.exponents import exponent_for_range


class MinMaxObserver(Observer, name="minmax"):
    """The range is the largest magnitude, over all values or per channel (quantizer spec 6.2)."""

    per_channel = True

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__(bits, axis)
        self._maxima: NDArray | None = None

    def observe(self, values: NDArray) -> None:
        maxima = np.abs(as_rows(values, self.axis)).max(axis=1, initial=0.0)
        self._maxima = maxima if self._maxima is None else np.maximum(self._maxima, maxima)

    def exponents(self) -> tuple[int, ...]:
        maxima = [0.0] if self._maxima is None else self._maxima
        return tuple(exponent_for_range(float(maximum), self.bits) for maximum in maxima)
