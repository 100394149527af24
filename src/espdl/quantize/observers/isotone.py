"""Range that keeps the winner the winner: for the scores of classes, of which only the largest counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.observers.base import Observer
from espdl.quantize.observers.exponents import SMALLEST_EXPONENT, exponent_for_range

LARGEST_EXPONENT = 32
CANDIDATES = np.arange(SMALLEST_EXPONENT, LARGEST_EXPONENT + 1)
RANK_OF_IMAGES = 4


class IsotoneObserver(Observer, name="isotone"):
    """The exponent at which the largest score stays larger than the second in the most rows; of equals the nearest to minmax's.

    The classes lie along the last axis, or along axis 1 of a tensor of four axes [N, classes, H, W].

    ESP-PPQ counts rows by two bounds of the step, one of which promises more than rounding keeps, takes a step that is no power of two,
    and cuts it to one when the file is written (quantizer spec 6.2). Here every exponent is tried with the integers it gives.
    """

    def __init__(self, bits: int, axis: int | None = None) -> None:
        super().__init__(bits, axis)
        self._kept = np.zeros(len(CANDIDATES), np.int64)
        self._maximum = 0.0

    def observe(self, values: NDArray) -> None:
        if not values.size:
            return
        self._maximum = max(self._maximum, float(np.abs(values).max()))
        classes = 1 if values.ndim == RANK_OF_IMAGES else -1
        rows = np.moveaxis(np.atleast_1d(values), classes, -1).reshape(-1, np.atleast_1d(values).shape[classes])
        if rows.shape[1] < 2:
            return
        top = np.partition(rows.astype(np.float64), -2, axis=1)[:, -2:]
        lowest, highest = -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1
        for index, exponent in enumerate(CANDIDATES):
            second, first = np.clip(np.floor(np.ldexp(top, -exponent) + 0.5), lowest, highest).T
            self._kept[index] += np.count_nonzero(first > second)

    def exponents(self) -> tuple[int, ...]:
        usual = exponent_for_range(self._maximum, self.bits)
        most = self._kept.max()
        if not most:
            return (usual,)
        best = CANDIDATES[self._kept == most]
        return (int(best[np.argmin(np.abs(best - usual))]),)
