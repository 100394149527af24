"""What calibration data show of tensors, each channel apart, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base import get_kernels
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
        self.is_finite = True

    @property
    def names(self) -> list[str]:
        """The tensors that :meth:`observe` needs."""
        return list(self._tensors)

    def observe(self, tensors: Mapping[str, NDArray]) -> None:
        """Takes in tensors of one run of the float network, all at once or some at a time."""
        for name, tensor in self._tensors.items():
            if name in tensors:
                self.is_finite &= tensor.add(by_channel(tensors[name]))

    def values(self, name: str) -> NDArray[np.float32]:
        """The elements of a tensor that were kept, [size of axis 1, kept]."""
        return self._tensors[name].values()

    def moments(self) -> dict[str, Moments]:
        """Moments of all tensors, the means over the elements kept; empty where nothing, or something infinite, was seen."""
        if not self.is_finite:
            return {}
        return {name: tensor.moments() for name, tensor in self._tensors.items() if tensor.seen}


@dataclass
class _Tensor:
    """One tensor: ends [channels] and elements [channels, some] of every ``stride``-th sample."""

    low: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    high: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    kept: _Kept | None = None
    stride: int = 1
    seen: int = 0
    samples: int = 0

    def add(self, rows: NDArray) -> bool:
        """Takes the elements of one more sample. Returns whether all of them are finite."""
        number = self.samples
        self.samples += 1
        if not rows.size:
            return True
        low, high = get_kernels().row_ends(rows).T.astype(np.float64)
        is_finite = bool(np.isfinite(high - low).all())
        self.low, self.high = (np.minimum(self.low, low), np.maximum(self.high, high)) if self.seen else (low, high)
        self.seen += rows.shape[1]
        if number % self.stride:
            return is_finite
        more = max(FEW // len(rows), 1)
        step = -(-rows.shape[1] // (POSITIONS * more))
        # At an odd distance, and from another start each time, so that rows and columns of a picture are met at changing places.
        step += step > 1 and step % 2 == 0
        if self.kept is None:
            self.kept = _Kept(len(rows), KEPT * more, -(-rows.shape[1] // step))
        if self.kept.add(rows[:, number * 61 % step :: step]):
            self.stride *= 2
        return is_finite

    def values(self) -> NDArray[np.float32]:
        return np.zeros((0, 0), np.float32) if self.kept is None else self.kept.values()

    def moments(self) -> Moments:
        values = self.values()
        square = np.einsum("ij,ij->i", values, values, dtype=np.float64) / values.shape[1]
        return Moments(self.low, self.high, values.mean(axis=1, dtype=np.float64), square, self.seen)


class _Kept:
    """Elements of several samples, in memory taken once: small pieces between large ones would keep freed memory from being used.

    Args:
        channels: number of rows.
        columns: that are kept at most.
        more: columns that a sample adds at most.
    """

    def __init__(self, channels: int, columns: int, more: int) -> None:
        self._channels = channels
        self._columns = columns
        self._buffer = np.empty(channels * (max(columns, more) + more), np.float32)
        self._widths: list[int] = []

    def add(self, rows: NDArray) -> bool:
        """Takes the elements of a sample. Returns whether every other sample had to be dropped."""
        self._place(sum(self._widths), rows.shape[1])[:] = rows
        self._widths.append(rows.shape[1])
        halved = False
        while len(self._widths) > 1 and sum(self._widths) > self._columns:
            parts = self._parts()[::2]
            self._widths = self._widths[::2]
            for place, part in zip(self._parts(), parts, strict=True):
                place[:] = part  # further to the front, over what was dropped or moved before
            halved = True
        return halved

    def values(self) -> NDArray[np.float32]:
        """[channels, elements]."""
        return np.concatenate(self._parts(), axis=1)

    def _parts(self) -> list[NDArray[np.float32]]:
        starts = [0, *accumulate(self._widths)]
        return [self._place(start, width) for start, width in zip(starts, self._widths, strict=False)]

    def _place(self, start: int, width: int) -> NDArray[np.float32]:
        return self._buffer[start * self._channels : (start + width) * self._channels].reshape(self._channels, width)


def by_channel(array: NDArray) -> NDArray:
    """A tensor as [size of axis 1, rest]; one row where it has no axis 1."""
    if array.ndim < 2:
        return array.reshape(1, -1)
    if array.shape[0] == 1:
        return array.reshape(array.shape[1], -1)
    return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)
