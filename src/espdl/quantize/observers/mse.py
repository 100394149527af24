"""Range with the smallest squared error."""

from __future__ import annotations

from numpy.typing import NDArray

from espdl.quantize.observers.base import Observer, as_rows
from espdl.quantize.observers.exponents import SMALLEST_EXPONENT, exponent_for_range
from espdl.quantize.observers.histogram import Histogram

CANDIDATES = 8


class MSEObserver(Observer, name="mse"):
    """The exponent whose quantization of all values seen has the smallest squared error, among the one that clips nothing and the
    seven below it.

    ESP-PPQ instead tries steps on half the levels and rounds the best range up, which at 16 bits always ends at the largest range.
    """

    per_channel = True

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__(bits, axis)
        self.histogram = Histogram()
        self._channels: list[Histogram] = []

    def observe(self, values: NDArray) -> None:
        if self.axis is None:
            self.histogram.add(values)
            return
        rows = as_rows(values, self.axis)
        if not self._channels:
            self._channels = [Histogram() for _ in rows]
        for histogram, row in zip(self._channels, rows, strict=True):
            histogram.add(row)

    def exponents(self) -> tuple[int, ...]:
        return tuple(least_error_exponent(histogram, self.bits) for histogram in (self._channels or [self.histogram]))


def least_error_exponent(histogram: Histogram, bits: int) -> int:
    """The exponent with the smallest expected squared error; ties go to the larger range."""
    top = exponent_for_range(histogram.maximum, bits)
    candidates = range(top, max(top - CANDIDATES, SMALLEST_EXPONENT - 1), -1)
    return min(candidates, key=lambda exponent: histogram.squared_error(exponent, bits))
