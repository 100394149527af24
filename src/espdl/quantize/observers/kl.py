"""Range that keeps most of the information: the smallest Kullback-Leibler divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.observers.base import Observer
from espdl.quantize.observers.exponents import exponent_for_range, nearest_exponent
from espdl.quantize.observers.histogram import Histogram
from espdl.quantize.observers.mse import least_error_exponent

BINS_PER_LEVEL = 32
FINER = 8
"""The running histogram has so many times the bins, for the final range starts bins of its own at other places."""

LARGEST_HISTOGRAM = 1 << 17
CLEARED = 0.002
LARGEST_LOSS = 50.0
"""How many times the least squared error a choice may cost. Seen beyond it: outputs of Sigmoid and Elu with half their range cut off,
which puts the whole network at 18 dB instead of 43."""


class KLObserver(Observer, name="kl"):
    """Compares the histogram of magnitudes, clipped at 1/32, 2/32 ... of its range, with its quantized form (quantizer spec 6.2).

    The histogram over the final range comes from a running one, so one pass over the data is enough. The exponent is the one nearest
    to the chosen step.
    """

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__(bits, axis)
        self.bins = BINS_PER_LEVEL * 2 ** (bits - 1)
        self.histogram = Histogram(max(self.bins, min(FINER * self.bins, LARGEST_HISTOGRAM)))

    def observe(self, values: NDArray) -> None:
        self.histogram.add(values)

    def exponents(self) -> tuple[int, ...]:
        maximum, levels = self.histogram.maximum, 2 ** (self.bits - 1)
        if maximum == 0:
            return (exponent_for_range(0.0, self.bits),)
        counts = self.histogram.over_range(maximum, self.bins)
        # Magnitudes near zero, a peak in most activations, would outweigh everything else.
        cleared = int(CLEARED * self.bins)
        counts[:cleared] = 0
        counts[cleared] = 1
        ends = range(levels, self.bins + 1, levels)
        losses = [divergence(counts, end, levels) for end in ends]
        best = ends[int(np.argmin(losses))]
        return (self._guarded(nearest_exponent(best * maximum / self.bins / levels)),)

    def _guarded(self, exponent: int) -> int:
        """``exponent``, or the one of least squared error where the divergence, which does not see how far it clips, goes badly wrong."""
        least = least_error_exponent(self.histogram, self.bits)
        error = self.histogram.squared_error(exponent, self.bits)
        return least if error > LARGEST_LOSS * self.histogram.squared_error(least, self.bits) else exponent


def divergence(counts: NDArray[np.float64], end: int, levels: int) -> float:
    """Divergence of ``counts`` clipped at bin ``end`` from the same, quantized to ``levels`` levels.

    Args:
        counts: per bin.
        end: number of bins kept, a multiple of ``levels``.
        levels: number of levels.
    """
    clipped = counts[:end].copy()
    clipped[-1] += counts[end:].sum()
    total = counts.sum()
    rows = counts[:end].reshape(levels, -1)
    occupied = rows > 0
    mean = rows.sum(axis=1) / np.maximum(occupied.sum(axis=1), 1)
    quantized = np.where(occupied, mean[:, None], 0.0).reshape(-1)
    if quantized.sum() == 0 or total == 0:
        return np.inf
    p, q = clipped / total, quantized / quantized.sum()
    return float(np.sum(p * (np.log10(p + 1e-30) - np.log10(q + 1e-30))))
