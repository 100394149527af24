"""``Scale``: what balancing made of a tensor, channel by channel; stored beside a file, so that its tensors can be read."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError

METADATA_KEY = "channel_scales"
"""Entry of a file whose tensors are scaled: the checksum of the scales, which are in the ``.json`` file beside it under the same name."""

AT_ONCE = 1 << 16
"""Elements that are worked on together, about."""

T = TypeVar("T", np.float32, np.float64)

Place = tuple[slice, slice]
"""All of the first axis, and some of the second."""


@dataclass(frozen=True)
class Scale:
    """A tensor holds each channel of the network's times its factor, less its offset.

    Attributes:
        factors, offsets: float64 [size of axis 1], factors positive.
    """

    factors: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def of(self, array: NDArray, axis: int = 1) -> NDArray[np.float64]:
        """The network's values as they are held; ``axis`` is that of the channels."""
        return array * self._along(self.factors, array, axis) - self._along(self.offsets, array, axis)

    def undo(self, array: NDArray, axis: int = 1) -> NDArray[np.float64]:
        """Held values as the network's."""
        return (array + self._along(self.offsets, array, axis)) / self._along(self.factors, array, axis)

    def float32_of(self, array: NDArray) -> NDArray[np.float32]:
        """:meth:`of` in binary32, for measures: it may differ in the last place, and takes less time and memory."""
        result = np.multiply(array, self._along(self.factors.astype(np.float32), array, 1), dtype=np.float32)
        result -= self._along(self.offsets.astype(np.float32), array, 1)
        return result

    def float32_undo(self, array: NDArray) -> NDArray[np.float32]:
        """:meth:`undo`, likewise."""
        result = np.add(array, self._along(self.offsets.astype(np.float32), array, 1), dtype=np.float32)
        result *= self._along((1 / self.factors).astype(np.float32), array, 1)
        return result

    def pieces_of(self, array: NDArray) -> Iterator[tuple[Place, NDArray[np.float64]]]:
        """:meth:`of` for some channels at a time: which, and their values."""
        for place, some in self._pieces(array):
            yield place, some.of(array[place])

    def _pieces(self, array: NDArray) -> Iterator[tuple[Place, Scale]]:
        channels = len(self.factors)
        step = max(AT_ONCE * channels // max(array.size, 1), 1)
        for start in range(0, channels, step):
            some = slice(start, start + step)
            yield (slice(None), some), Scale(self.factors[some], self.offsets[some])

    def before(self, other: Scale) -> Scale:
        """Both, one after the other."""
        return Scale(self.factors * other.factors, self.offsets * other.factors + other.offsets)

    @staticmethod
    def _along(vector: NDArray[T], array: NDArray, axis: int) -> NDArray[T]:
        return vector.reshape([-1 if place == axis else 1 for place in range(array.ndim)])


Scales = Mapping[str, Scale]
"""By the tensor's name in the network; the others are held as they are."""


def joined(first: Scales, second: Scales) -> dict[str, Scale]:
    """What became of tensors in two steps."""
    return {**first, **{name: first[name].before(scale) if name in first else scale for name, scale in second.items()}}


def scales_entry(scales: Scales) -> dict[str, dict[str, str]]:
    """Scales for a JSON file: factors and offsets as base64 of little-endian float64."""
    return {
        name: {part: _encoded(getattr(scale, part)) for part in ("factors", "offsets")} for name, scale in sorted(scales.items())
    }


def checksum(scales: Scales) -> str:
    """Of :func:`scales_entry`, for :data:`METADATA_KEY`."""
    return f"{zlib.crc32(json.dumps(scales_entry(scales)).encode()):08x}"


def scales_beside(file: Path, metadata: Mapping[str, str]) -> Scales:
    """The scales of a file's tensors, by its metadata and the ``.json`` file beside it.

    Raises:
        EspdlError: when the file has scaled tensors, and the ``.json`` file is missing, or is that of another one.
    """
    if METADATA_KEY not in metadata:
        return {}
    place = file.with_suffix(".json")
    try:
        entry = json.loads(place.read_text(encoding="utf-8"))[METADATA_KEY]
        scales = {name: Scale(_decoded(parts["factors"]), _decoded(parts["offsets"])) for name, parts in entry.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unknown(file, f"{place.name} cannot be read: {error}") from None
    if checksum(scales) != metadata[METADATA_KEY]:
        raise _unknown(file, f"{place.name} belongs to another file")
    return scales


def _unknown(file: Path, why: str) -> EspdlError:
    return EspdlError(
        "the channels of tensors in this file are scaled, by what is not known",
        where=str(file),
        why=why,
        hint="keep the .json file that espdl quantize wrote beside it",
    )


def _encoded(vector: NDArray[np.float64]) -> str:
    return base64.b64encode(vector.astype("<f8").tobytes()).decode("ascii")


def _decoded(text: Any) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f8").astype(np.float64)
