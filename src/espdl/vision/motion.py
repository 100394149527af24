"""Motion between two pictures: how many points changed (runtime spec 7.12)."""

from __future__ import annotations

import numpy as np

from espdl.errors import EspdlError
from espdl.vision.image import Image, PixelType, Source, read_image


def get_moving_point_number(first: Source, second: Source, stride: int = 1, threshold: int = 5) -> int:
    """How many sampled points differ by more than ``threshold`` in gray.

    As on the chip a stride above 1 skips columns but not rows: the samples of a row go on where those of the row before have ended, so
    only the upper part of the pictures is looked at, and where the width is no multiple of the stride they drift to the right.

    Args:
        first, second: pictures of one size.
        stride: of the grid.
        threshold: 0 to 255.

    Raises:
        EspdlError: for pictures of different sizes (a chip answers 4294967295), or a stride with which a chip reads behind their end.
    """
    one, other = (_gray(picture) for picture in (first, second))
    if one.data.shape != other.data.shape:
        raise EspdlError(
            "motion is between pictures of one size",
            why=f"they are {one.width} x {one.height} and {other.width} x {other.height}",
        )
    if stride < 1:
        raise EspdlError(f"a grid cannot have a stride of {stride}")
    rows, columns = np.arange(-(-one.height // stride)), np.arange(-(-one.width // stride))
    row_step = len(columns) * stride + one.width % stride
    places = rows[:, np.newaxis] * row_step + columns * stride
    if places[-1, -1] >= one.data.size:
        raise EspdlError(
            f"with a stride of {stride} a chip reads behind the end of a picture of {one.width} x {one.height}",
            hint="take a stride that divides the width",
        )
    difference = one.data.reshape(-1)[places].astype(int) - other.data.reshape(-1)[places]
    return int(np.count_nonzero(np.abs(difference) > threshold))


def _gray(source: Source) -> Image:
    picture = read_image(source)
    return picture if picture.pix_type is PixelType.GRAY else picture.convert(PixelType.GRAY)
