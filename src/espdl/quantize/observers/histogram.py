"""A running histogram of magnitudes: one pass over the data, constant memory, no need to know the range beforehand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BINS = 8192
CHUNK = 1 << 18
"""Values that are counted at once: what is computed on the way stays in the CPU's cache."""
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
        flat = values.reshape(-1)
        if flat.size == 0:
            return
        maximum = float(np.float32(max(float(flat.max()), -float(flat.min()))))
        self.maximum = max(self.maximum, maximum)
        if maximum > 0:
            self._fit(max(math.frexp(maximum)[1], _SMALLEST_LIMIT))
        elif self._limit_exponent is None:
            self.counts[0] += flat.size
            return
        # A power of two as factor: the product is exact, so a value never leaves the bin that its magnitude belongs to.
        scale = np.float32(1.0 / self.bin_width)
        for start in range(0, flat.size, CHUNK):
            scaled = np.multiply(flat[start : start + CHUNK], scale, dtype=np.float32)
            np.abs(scaled, out=scaled)
            self.counts += np.bincount(scaled.astype(np.intp), minlength=self.bins)

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
        centres = (np.arange(self._occupied()) + 0.5) * self.bin_width
        centres[0] = 0.0
        kept = int(np.searchsorted(centres, largest, "right"))
        inside, over = centres[:kept], centres[kept:] - largest
        error = _weighted_squares(over, self.counts[kept : len(centres)])
        if self.bin_width * 4 <= step:
            inside -= np.rint(inside * (1.0 / step)) * step
            return error + _weighted_squares(inside, self.counts[:kept])
        return error + float(self.counts[1:kept].sum()) * step * step / 12

    def _occupied(self) -> int:
        """How many bins from the lowest one on hold everything."""
        return min(int(self.maximum / self.bin_width) + 1, self.bins)


def _weighted_squares(values: NDArray, weights: NDArray[np.float64]) -> float:
    """``weights @ values**2`` without BLAS, whose threads cost more than so short a product. ``values`` are overwritten."""
    values *= values
    values *= weights
    return float(values.sum())
