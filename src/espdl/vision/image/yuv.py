"""Where Y, U and V of a pixel lie in YUYV and UYVY images: two pixels share U and V (runtime spec 7.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.vision.image.color import Bytes
from espdl.vision.image.picture import Image
from espdl.vision.image.pixel import PixelType


def yuv_bytes(columns: NDArray[np.intp], pix_type: PixelType) -> NDArray[np.intp]:
    """Offsets in a row of the Y, U and V byte of the pixels in ``columns``: [n] to [n, 3]."""
    luma, chroma = (0, 1) if pix_type is PixelType.YUYV else (1, 0)
    pair = columns // 2 * 4
    return np.stack((columns * 2 + luma, pair + chroma, pair + chroma + 2), axis=-1)


def require_even_width(image: Image) -> None:
    """Raises :class:`EspdlError` for an odd width: half a pair of pixels has no colour."""
    if image.width % 2:
        raise EspdlError(f"a {image.pix_type.name} image cannot be {image.width} pixels wide", why="its pixels come in pairs")


def separate_yuv(image: Image) -> Bytes:
    """Y, U and V of every pixel: [height, width, 3]."""
    require_even_width(image)
    rows = image.data.reshape(image.height, -1)
    return rows.take(yuv_bytes(np.arange(image.width), image.pix_type), axis=1)
