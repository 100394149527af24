"""What calibration data show of tensors, each channel apart, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.balance.moments import Moments

POSITIONS = 32
"""Elements of each channel that a sample contributes at most, about; more where there are few channels."""

KEPT = 512
"""Elements of each channel that are kept at most. With more, every other sample is dropped, and from then on only every other one taken."""

FEW = 64
"""Fewer channels than these share as many elements."""


class Survey:
    """Looks at tensors of the float network's runs: the ends of every channel over all elements, and some of its elements.

    Args:
        names: of the tensors.

    Attributes:
        is_finite: whether all that was seen is.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._tensors = {name: _Tensor() for name in names}
        self._samples = 0
        self.is_finite = True

    @property
    def names(self) -> list[str]:
        """The tensors that :meth:`observe` needs."""
        return list(self._tensors)

    def observe(self, tensors: Mapping[str, NDArray]) -> None:
        """Takes in one run of the float network."""
        for name, tensor in self._tensors.items():
            self.is_finite &= tensor.add(by_channel(tensors[name]), self._samples)
        self._samples += 1

    def values(self, name: str) -> NDArray[np.float32]:
        """The elements of a tensor that were kept, [size of axis 1, kept]."""
        return self._tensors[name].values()

    def moments(self) -> dict[str, Moments]:
        """Moments of all tensors, the means over the elements kept; empty where nothing, or something infinite, was seen."""
        if not self._samples or not self.is_finite:
            return {}
        return {name: tensor.moments() for name, tensor in self._tensors.items() if tensor.seen}


@dataclass
class _Tensor:
    """One tensor: ends [channels] and elements [channels, some] of every ``stride``-th sample."""

    low: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    high: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    kept: list[NDArray] = field(default_factory=list)
    stride: int = 1
    seen: int = 0

    def add(self, rows: NDArray, number: int) -> bool:
        """Takes the elements of sample ``number``. Returns whether all of them are finite."""
        if not rows.size:
            return True
        low, high = rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64)
        is_finite = bool(np.isfinite(high - low).all())
        self.low, self.high = (np.minimum(self.low, low), np.maximum(self.high, high)) if self.seen else (low, high)
        self.seen += rows.shape[1]
        if number % self.stride:
            return is_finite
        more = max(FEW // len(rows), 1)
        step = -(-rows.shape[1] // (POSITIONS * more))
        # At an odd distance, and from another start each time, so that rows and columns of a picture are met at changing places.
        step += step > 1 and step % 2 == 0
        self.kept.append(np.ascontiguousarray(rows[:, number * 61 % step :: step], dtype=np.float32))
        while len(self.kept) > 1 and sum(part.shape[1] for part in self.kept) > KEPT * more:
            self.kept = self.kept[::2]
            self.stride *= 2
        return is_finite

    def values(self) -> NDArray[np.float32]:
        return np.concatenate(self.kept, axis=1) if self.kept else np.zeros((0, 0), np.float32)

    def moments(self) -> Moments:
        values = self.values()
        square = np.einsum("ij,ij->i", values, values, dtype=np.float64) / values.shape[1]
        return Moments(self.low, self.high, values.mean(axis=1, dtype=np.float64), square, self.seen)


def by_channel(array: NDArray) -> NDArray:
    """A tensor as [size of axis 1, rest]; one row where it has no axis 1."""
    if array.ndim < 2:
        return array.reshape(1, -1)
    if array.shape[0] == 1:
        return array.reshape(array.shape[1], -1)
    return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)
