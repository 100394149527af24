"""Normalising and quantizing by table: one entry for each of the 256 values of a channel (runtime spec 7.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.rounding import Rounding, quantize


@dataclass(frozen=True)
class NormQuant:
    """What a model's input asks of pixels: ``quantize((pixel - mean) / std)``.

    Attributes:
        mean, std: one for each channel, in the order of the output's channels, for pixels in 0..255.
        exponent: of the model's input.
        dtype: int8 or int16.
        rounding: of the chip.

    Raises:
        EspdlError: for a std that is not above zero, or as many means as stds.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    exponent: int
    dtype: np.dtype
    rounding: Rounding

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise EspdlError(f"{len(self.mean)} means are given with {len(self.std)} stds")
        for value in self.mean:
            if not np.isfinite(value):
                raise EspdlError(f"a mean of {value} is out of range")
        for value in self.std:
            if not 0 < value < np.inf:
                raise EspdlError(f"a std of {value} is out of range", why="pixels are divided by it")

    @cached_property
    def tables(self) -> NDArray[np.integer]:
        """[channels, 256]: the quantized value of every pixel value."""
        pixels = np.arange(256, dtype=np.float32)
        centred = pixels - np.asarray(self.mean, np.float32)[:, np.newaxis]
        inverse = np.float32(1) / np.asarray(self.std, np.float32)[:, np.newaxis]
        return quantize(centred * inverse, self.exponent, self.dtype, self.rounding)

    @cached_property
    def _flat(self) -> NDArray[np.integer]:
        """One table when all channels have the same, else one behind the other."""
        return self.tables[0] if (self.tables == self.tables[0]).all() else self.tables.reshape(-1)

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.integer]:
        """Quantizes uint8 pixels [..., channels]."""
        if self._flat.size == 256:
            return self._flat.take(pixels)
        return self._flat.take(pixels + _offsets(len(self.mean)))


def _offsets(channels: int) -> NDArray[np.int16]:
    """Where each channel's table begins."""
    return np.arange(channels, dtype=np.int16) * np.int16(256)


def per_channel(values: float | Sequence[float], channels: int, name: str) -> tuple[float, ...]:
    """``values`` as one number for each channel; a single one holds for all.

    Raises:
        EspdlError: when they are neither one nor ``channels``.
    """
    numbers = (float(values),) if isinstance(values, (int, float)) else tuple(float(value) for value in values)
    if len(numbers) == 1:
        return numbers * channels
    if len(numbers) != channels:
        raise EspdlError(f"{len(numbers)} numbers are given as {name}, the model's input has {channels} channels")
    return numbers
