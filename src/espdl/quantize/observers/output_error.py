"""The exponent with the least expected squared error at the network's outputs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.observers.base import Observer, View
from espdl.quantize.observers.exponents import SMALLEST_EXPONENT, exponent_for_range

CANDIDATES = 6
HALF_BINS = 4096
POSITIONS = 64
"""Elements of each channel that one sample contributes at most: enough of them, at even distances."""
ENOUGH = 1 << 16
"""Elements that are counted at once, about."""


class OutputErrorObserver(Observer, name="output"):
    """Compares the exponent that clips nothing and those below it by their squared error, rounding and clipping, each channel weighted.

    Minmax spends steps on a few large values, and KL clips without asking what that costs. Here a large value counts by what it does:
    little in a channel that hardly matters, nothing where the activation behind it is flat. Scores of one choice are not cut off: two
    classes at the same largest integer would be equal.
    """

    joint = True
    surveyed = True

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__(bits, axis)
        self._parts: list[_Part] = []

    def part(self, view: View) -> Observer:
        self._parts.append(_Part(self.bits, view))
        return self._parts[-1]

    def observe(self, values: NDArray) -> None:
        if not self._parts:
            self.part(View())
        self._parts[0].observe(values)

    def exponents(self) -> tuple[int, ...]:
        top = exponent_for_range(max((part.maximum for part in self._parts), default=0.0), self.bits)
        candidates = range(top, max(top - CANDIDATES, SMALLEST_EXPONENT - 1), -1)
        return (min(candidates, key=lambda exponent: sum(part.error(exponent) for part in self._parts)),)


class _Part(Observer, name=""):
    """One tensor: a histogram of its values, counted by the weights of their channels, with 0 in the middle of a bin."""

    def __init__(self, bits: int, view: View) -> None:
        super().__init__(bits)
        self.maximum = 0.0
        self._view = view
        self._counts = np.zeros(2 * HALF_BINS + 1)
        self._limit: int | None = None

    def observe(self, values: NDArray) -> None:
        if not values.size:
            return
        rows = values.reshape(1 if values.ndim < 2 or values.shape[0] != 1 else values.shape[1], -1)
        ends = np.stack([rows.min(axis=1), rows.max(axis=1)], axis=1)
        step = rows.shape[1] // POSITIONS
        # An odd distance, so that rows of a picture are met at changing places.
        self.observe_some(rows[:, :: step | 1] if step > 1 else rows, ends, rows.shape[1])

    def observe_some(self, some: NDArray, ends: NDArray, count: int) -> None:
        maximum = float(np.abs(ends).max())
        self.maximum = max(self.maximum, maximum)
        if maximum > 0:
            self._fit(math.frexp(maximum)[1])
        step = some.size // ENOUGH
        few = some[:, :: step | 1] if step > 1 else some
        # Those taken count for all elements; the ends of each channel are met in any case.
        self._count(few, count / few.shape[1])
        if few.shape[1] < count:
            self._count(ends, 1.0)

    def _count(self, rows: NDArray, share: float) -> None:
        scale = math.ldexp(HALF_BINS, -(self._limit or 0))
        places = np.rint(rows * np.float32(scale)).astype(np.intp) + HALF_BINS
        if self._view.weights is None or len(self._view.weights) != len(rows):
            self._counts += np.bincount(places.reshape(-1), minlength=len(self._counts)) * share
        else:
            weights = np.repeat(self._view.weights * share, rows.shape[1])
            self._counts += np.bincount(places.reshape(-1), weights, len(self._counts))

    def _fit(self, limit: int) -> None:
        """Makes 2**limit the end of the range, at least."""
        if self._limit is None:
            self._limit = limit
        if limit > self._limit:
            places = np.arange(-HALF_BINS, HALF_BINS + 1)
            merged = np.rint(np.ldexp(places.astype(np.float64), self._limit - limit)).astype(np.intp) + HALF_BINS
            self._counts = np.bincount(merged, self._counts, len(places)).astype(np.float64)
            self._limit = limit

    def error(self, exponent: int) -> float:
        """The weighted sum of squared errors at ``exponent``; infinite where it cuts off more than a step of what must stay whole."""
        if self._view.whole and self.maximum > math.ldexp(1.0, exponent + self.bits - 1):
            return math.inf
        used = np.flatnonzero(self._counts)
        values = np.ldexp((used - HALF_BINS).astype(np.float64), (self._limit or 0) - (HALF_BINS.bit_length() - 1))
        integers = np.clip(np.rint(np.ldexp(values, -exponent)), -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1)
        quantized = np.ldexp(integers, exponent)
        if self._view.function is not None:
            values, quantized = (self._view.function(x.astype(np.float32)).astype(np.float64) for x in (values, quantized))
        return float(self._counts[used] @ (values - quantized) ** 2)
