"""BMP in and out: 8-bit gray and 24-bit, bottom-up, rows padded to 4 bytes (runtime spec 7.5)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

from espdl.errors import EspdlError
from espdl.fbs.files import write_atomically
from espdl.vision.image.picture import LARGEST_SIDE, Image
from espdl.vision.image.pixel import PixelType

_HEADER = struct.Struct("<2sIHHI" + "IiiHHIIiiII")
_INFO_SIZE = 40
_PALETTE = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(256, 4) * np.array([1, 1, 1, 0], np.uint8)


def encode_bmp(image: Image) -> bytes:
    """GRAY as 8-bit with a palette of grays, others as 24-bit. Raises :class:`EspdlError` for types that do not become BGR888."""
    pixels = image if image.pix_type is PixelType.GRAY else image.convert(PixelType.BGR888)
    bits = 8 * pixels.pix_type.bytes_per_pixel
    palette = _PALETTE.tobytes() if bits == 8 else b""
    length = image.width * bits // 8
    rows = np.zeros((image.height, _padded(length)), np.uint8)
    rows[:, :length] = pixels.data[::-1].reshape(image.height, length)
    offset = _HEADER.size + len(palette)
    size = offset + rows.nbytes
    colors = len(palette) // 4
    header = (b"BM", size, 0, 0, offset, _INFO_SIZE, image.width, image.height, 1, bits, 0, rows.nbytes, 0, 0, colors, 0)
    return _HEADER.pack(*header) + palette + rows.tobytes()


def decode_bmp(data: bytes) -> Image:
    """GRAY of an 8-bit file whose palette is gray, BGR888 of a 24-bit one.

    Raises:
        EspdlError: for any other, and where header and length disagree.
    """
    if len(data) < _HEADER.size or data[:2] != b"BM":
        raise EspdlError("this is no BMP file")
    _, size, _, _, offset, info, width, height, planes, bits, compression, _, _, _, colors, _ = _HEADER.unpack_from(data)
    if info != _INFO_SIZE or planes != 1 or compression != 0 or bits not in (8, 24):
        raise EspdlError(
            f"a BMP of {bits} bits a pixel and compression {compression} is not read",
            why="8-bit gray and 24-bit are, uncompressed",
        )
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise EspdlError(
            f"a BMP of {width} x {height} is not read", why="rows go from the bottom up, sides have at most 65535 pixels"
        )
    palette = _PALETTE[: colors or 256].tobytes() if bits == 8 else b""
    stride = _padded(width * bits // 8)
    if size != len(data) or offset < _HEADER.size + len(palette) or offset + stride * height > len(data):
        raise EspdlError("the BMP is cut off", why=f"{len(data)} bytes, its header says {size}, its pixels begin at {offset}")
    if data[_HEADER.size : _HEADER.size + len(palette)] != palette:
        raise EspdlError("the BMP has a palette of colours", why="of 8-bit files only gray ones are read")
    rows = np.frombuffer(data, np.uint8, stride * height, offset).reshape(height, stride)[::-1, : width * bits // 8]
    pixels = np.ascontiguousarray(rows).reshape(height, width, bits // 8)
    return Image(pixels, PixelType.GRAY if bits == 8 else PixelType.BGR888)


def write_bmp(image: Image, path: str | os.PathLike[str]) -> None:
    """Writes a BMP file, whole or not at all, see :func:`encode_bmp`."""
    write_atomically(Path(path), encode_bmp(image))


def read_bmp(path: str | os.PathLike[str]) -> Image:
    """The picture in a BMP file, see :func:`decode_bmp`."""
    try:
        return decode_bmp(Path(path).read_bytes())
    except EspdlError as error:
        raise error.at(os.fspath(path)) from None
    except OSError as error:
        raise EspdlError("the file cannot be read", where=os.fspath(path), why=error.strerror or str(error)) from None


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4
