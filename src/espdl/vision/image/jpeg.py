"""JPEG in and out, with the types that the chip's software codec takes and gives (runtime spec 7.5).

Pillow is the codec. The chip's is closed: pixels that it decodes differ from these by a few steps.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from espdl.errors import EspdlError
from espdl.fbs.files import write_atomically
from espdl.vision.image.codec import open_picture
from espdl.vision.image.color import Bytes
from espdl.vision.image.picture import Image
from espdl.vision.image.pixel import Kind, PixelType
from espdl.vision.image.yuv import separate_yuv

QUALITY = 80
DECODED_TYPES = (PixelType.RGB888, PixelType.RGB565LE, PixelType.RGB565BE, PixelType.UYVY)


def sw_decode_jpeg(data: bytes, pix_type: PixelType = PixelType.RGB888) -> Image:
    """The picture in ``data``.

    Args:
        pix_type: one of ``DECODED_TYPES``. The two pixels of a pair in UYVY get the mean of their colours.

    Raises:
        EspdlError: for data that is no JPEG or is cut off, another type, and UYVY of odd width.
    """
    if pix_type not in DECODED_TYPES:
        names = ", ".join(known.name for known in DECODED_TYPES)
        raise EspdlError(f"a JPEG is not decoded to {pix_type.name}", hint=f"the chip's decoder gives {names}")
    with open_picture(data) as opened:
        if opened.format != "JPEG":
            raise EspdlError(f"this is no JPEG, but {opened.format}")
        if pix_type is PixelType.UYVY:
            opened.draft("YCbCr", opened.size)
            return Image(_paired(np.asarray(opened.convert("YCbCr"))), pix_type)
        return Image.from_pil(opened).convert(pix_type)


def sw_encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """``image`` as JPEG, colours at half the size (4:2:0). GRAY stays gray, YUYV and UYVY keep their numbers, others become RGB888.

    Raises:
        EspdlError: for a type that does not become RGB888, or a quality outside 1 to 100.
    """
    from PIL import Image as pillow

    if not 1 <= quality <= 100:
        raise EspdlError(f"a quality of {quality} is out of range", hint="give 1 to 100")
    if image.pix_type.kind is Kind.YUV:
        picture = pillow.frombytes("YCbCr", (image.width, image.height), separate_yuv(image).tobytes())
    else:
        picture = image.to_pil()
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality, **({} if picture.mode == "L" else {"subsampling": "4:2:0"}))
    return stream.getvalue()


def read_jpeg(path: str | os.PathLike[str], pix_type: PixelType = PixelType.RGB888) -> Image:
    """The picture in a JPEG file, see :func:`sw_decode_jpeg`."""
    try:
        return sw_decode_jpeg(Path(path).read_bytes(), pix_type)
    except EspdlError as error:
        raise error.at(os.fspath(path)) from None
    except OSError as error:
        raise EspdlError("the file cannot be read", where=os.fspath(path), why=error.strerror or str(error)) from None


def write_jpeg(image: Image, path: str | os.PathLike[str], quality: int = QUALITY) -> None:
    """Writes a JPEG file, whole or not at all, see :func:`sw_encode_jpeg`."""
    write_atomically(Path(path), sw_encode_jpeg(image, quality))


def _paired(yuv: Bytes) -> Bytes:
    """Y, U and V of every pixel as UYVY."""
    height, width, _ = yuv.shape
    if width % 2:
        raise EspdlError(f"a UYVY image cannot be {width} pixels wide", why="its pixels come in pairs", hint="decode to RGB888")
    chroma = (yuv[:, 0::2, 1:].astype(np.uint16) + yuv[:, 1::2, 1:] + 1) >> 1
    packed = np.empty((height, width, 2), np.uint8)
    packed[:, :, 1] = yuv[:, :, 0]
    packed[:, :, 0] = chroma.reshape(height, width)
    return packed
