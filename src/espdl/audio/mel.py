"""The mel filter bank: triangles on the mel scale, stored packed as on the chip."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mel(frequency: ArrayLike) -> NDArray[np.float32]:
    """Frequencies in Hz on the mel scale: 1127 ln(1 + f / 700), the logarithm in single precision (runtime spec 8.4)."""
    return (1127.0 * np.log((1.0 + np.asarray(frequency, np.float64) / 700.0).astype(np.float32))).astype(np.float32)


@dataclass(frozen=True, eq=False)
class MelBank:
    """Filters over the bins of a spectrum.

    Attributes:
        weights: float32 [filters, bins]; those of a filter outside its range are 0. Bin 0 is never used.
        start, length: int [filters], the range of bins of each filter; a filter narrower than a bin has length 0 and its energy is 0.
        unterminated: filters whose upper edge rounds to above the last bin, the last one if any. ESP-DL stores a wrong range for such
            a filter (runtime spec 8.4); here it ends with the last bin.
    """

    weights: NDArray[np.float32]
    start: NDArray[np.intp]
    length: NDArray[np.intp]
    unterminated: tuple[int, ...]
    _order: NDArray[np.intp] = field(init=False, repr=False)
    _steps: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = field(init=False, repr=False, default_factory=list)

    @classmethod
    def make(cls, filters: int, bins: int, sample_rate: int, low: int, high: int) -> MelBank:
        """Triangles with edges equally spaced between ``low`` and ``high`` Hz on the mel scale, in single precision.

        Args:
            bins: of the spectrum, from 0 to half the sample rate.
        """
        single = np.float32
        first, last = mel(low), mel(high)
        edges = ((last - first) / single(filters + 1) * np.arange(filters + 2, dtype=single)).astype(single) + first
        centres = mel(np.arange(bins, dtype=single) * single(sample_rate / 2) / single(bins - 1))
        left, peak, right = (edges[i : i + filters, np.newaxis] for i in range(3))
        rising, falling = (centres - left) / (peak - left), (right - centres) / (right - peak)
        rising[:, 0] = 0
        falling[:, 0] = 1  # so that no filter ends at bin 0
        start = np.argmax(rising > 0, axis=1)
        ended = falling <= 0
        unterminated = tuple(int(i) for i in np.flatnonzero(~ended.any(axis=1)))
        stop = np.where(ended.any(axis=1), np.argmax(ended, axis=1), bins)
        length = np.where((rising > 0).any(axis=1), np.maximum(stop - start, 0), 0)
        position = np.arange(bins)
        inside = (position >= start[:, np.newaxis]) & (position < (start + length)[:, np.newaxis])
        return cls(np.where(inside, np.minimum(rising, falling), single(0)), start, length, unterminated)

    def __post_init__(self) -> None:
        if self.unterminated:
            warnings.warn(
                f"the upper edge of mel filter {self.unterminated[0]} rounds to above the last bin of the spectrum: where a chip rounds "
                "so too, ESP-DL computes wrong values for it; lower high_freq by 1 in both places",
                stacklevel=4,
            )
        order = np.argsort(-self.length, kind="stable")
        object.__setattr__(self, "_order", order)
        for offset in range(int(self.length.max(initial=0))):
            active = order[: int(np.count_nonzero(self.length > offset))]
            bins = self.start[active] + offset
            self._steps.append((bins, np.ascontiguousarray(self.weights[active, bins][:, np.newaxis])))

    def energies(self, spectrum: NDArray[np.float32]) -> NDArray[np.float32]:
        """Float32 [bins, frames] to [filters, frames]: each a sum from the lowest bin upwards in single precision.

        The order does not depend on how many frames there are, so that frames computed one by one equal those computed together.
        """
        frames = spectrum.shape[1]
        sums = np.zeros((len(self.length), frames), np.float32)
        taken = np.empty_like(sums)
        for bins, weights in self._steps:
            part = taken[: len(bins)]
            np.take(spectrum, bins, axis=0, out=part, mode="clip")
            np.multiply(part, weights, out=part)
            sums[: len(bins)] += part
        result = np.empty_like(sums)
        result[self._order] = sums
        return result
