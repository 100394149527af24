"""``PictureFolder``: the pictures of a folder as calibration batches, with the usual resize, crop and normalise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.pictures import PictureOptions


class PictureFolder:
    """Batches of one picture each, read when they are asked for; can be gone through any number of times.

    Args:
        folder: searched through all its levels.
        shape: of the network's input, [1, C, H, W] or [1, H, W, C], with 1 or 3 channels.
        mean, std: of pixels in 0..1, one number for all channels or one each: the network gets ``(pixel / 255 - mean) / std``.
        resize: length of the shorter side before the middle H x W is cut out; None resizes to H x W without keeping the proportions.
        bgr: the network takes blue first.
        limit: the largest number of pictures, taken at even distances in the order of their names.

    Raises:
        EspdlError: when there is no such folder, it holds no pictures, or what is given does not fit together.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        shape: Sequence[int],
        *,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        resize: int | None = None,
        bgr: bool = False,
        limit: int | None = None,
    ) -> None:
        if not os.path.isdir(folder):
            raise EspdlError("there is no such folder", where=str(folder))
        options = PictureOptions(_numbers(mean), _numbers(std), bgr, resize)
        self._data = open_calibration_data(folder, {"": tuple(shape)}, limit or sys.maxsize, options)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[NDArray]:
        return (sample[""] for sample in self._data)


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return (float(value),) if isinstance(value, (int, float)) else tuple(map(float, value))
