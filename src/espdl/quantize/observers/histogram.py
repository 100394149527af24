"""A running histogram of magnitudes: one pass over the data, constant memory, no need to know the range beforehand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BINS = 8192
_SMALLEST_LIMIT = -60


class Histogram:
    """Counts of ``|x|`` in equal bins over [0, 2**k).

    When a value does not fit, k grows and neighbouring bins are added up, which is exact: the counts are those that the larger range
    would have given from the start.

    Args:
        bins: number of bins, a power of two.

    Attributes:
        counts: float64 [bins].
        maximum: the largest magnitude seen.
    """

    def __init__(self, bins: int = BINS) -> None:
        self.counts = np.zeros(bins)
        self.maximum = 0.0
        self._limit_exponent: int | None = None

    @property
    def bins(self) -> int:
        return len(self.counts)

    @property
    def bin_width(self) -> float:
        return math.ldexp(1.0, self._limit_exponent or 0) / self.bins

    @property
    def total(self) -> float:
        return float(self.counts.sum())

    def add(self, values: NDArray) -> None:
        """Counts finite values of any shape."""
        magnitudes = np.abs(values, dtype=np.float32).reshape(-1)
        if magnitudes.size == 0:
            return
        maximum = float(magnitudes.max())
        self.maximum = max(self.maximum, maximum)
        if maximum > 0:
            self._fit(max(math.frexp(maximum)[1], _SMALLEST_LIMIT))
        elif self._limit_exponent is None:
            self.counts[0] += magnitudes.size
            return
        # A power of two as factor: the product is exact, so a value never leaves the bin that its magnitude belongs to.
        indices = (magnitudes * np.float32(1.0 / self.bin_width)).astype(np.int32)
        self.counts += np.bincount(indices, minlength=self.bins)

    def _fit(self, limit_exponent: int) -> None:
        """Makes 2**limit_exponent the end of the range, at least."""
        if self._limit_exponent is None:
            self._limit_exponent = limit_exponent
        growth = limit_exponent - self._limit_exponent
        if growth <= 0:
            return
        self._limit_exponent = limit_exponent
        step = 1 << min(growth, self.bins.bit_length() - 1)
        merged = self.counts.reshape(-1, step).sum(axis=1)
        self.counts = np.zeros(self.bins)
        self.counts[: len(merged)] = merged

    def over_range(self, limit: float, bins: int) -> NDArray[np.float64]:
        """The counts in ``bins`` equal bins over [0, limit], ``limit`` included; each bin's content is taken to lie at its centre."""
        centres = (np.arange(self.bins) + 0.5) * self.bin_width
        inside = centres <= max(limit, self.bin_width)
        if limit >= self.maximum:
            inside[:] = True
        indices = np.minimum((centres[inside] * (bins / limit)).astype(np.int64), bins - 1)
        return np.bincount(indices, weights=self.counts[inside], minlength=bins).astype(np.float64)

    def squared_error(self, exponent: int, bits: int) -> float:
        """Expected sum of squared errors when the counted values are quantized to ``bits`` with ``2**exponent`` as step.

        Values beyond the largest integer are clipped. Within the range a bin that is narrow against the step counts with its centre,
        other bins with the mean error of evenly spread values, step**2 / 12. The lowest bin counts as zeros, which are exact.
        """
        step = math.ldexp(1.0, exponent)
        largest = (2 ** (bits - 1) - 1) * step
        centres = (np.arange(self.bins) + 0.5) * self.bin_width
        centres[0] = 0.0
        over = np.maximum(centres - largest, 0.0)
        if self.bin_width * 4 <= step:
            inside = centres - np.rint(centres / step) * step
            squared = np.where(over > 0, over, inside) ** 2
        else:
            squared = np.where(over > 0, over**2, step * step / 12)
            squared[0] = 0.0
        # not a product by BLAS, whose threads cost more here than they gain where the cores are busy
        return float((self.counts * squared).sum())
