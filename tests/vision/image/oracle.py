"""Slow plain-integer pixels: one at a time, the formulas written down once more."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from espdl.vision.image import HsvRange, PixelType

FIRST_BLUE = ("BGR888", "BGR565LE", "BGR565BE")


def random_pixels(seed: int, width: int, height: int, pix_type: PixelType) -> NDArray[np.uint8]:
    values = np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, pix_type.elements), dtype=np.uint8)
    if pix_type is PixelType.HSV:
        values[..., 0] %= 181
    return values


def clamp(value: int) -> int:
    return max(0, min(255, value))


def rgb_at(data: NDArray[np.uint8], x: int, y: int, pix_type: PixelType) -> tuple[int, int, int]:
    """Red, green and blue of one pixel."""
    name = pix_type.name
    if name in ("YUYV", "UYVY"):
        luma, u, v = yuv_at(data, x, y, pix_type)
        u, v = u - 128, v - 128
        return (
            clamp(luma + ((22987 * v + 8192) >> 14)),
            clamp(luma + ((-5636 * u - 11698 * v + 8192) >> 14)),
            clamp(luma + ((29049 * u + 8192) >> 14)),
        )
    if "565" in name:
        (word,) = struct.unpack(">H" if name.endswith("BE") else "<H", data[y, x].tobytes())
        fields = ((word & 0xF800) >> 8, (word & 0x07E0) >> 3, (word & 0x1F) << 3)
    else:
        fields = tuple(int(value) for value in data[y, x])
    return fields[::-1] if name in FIRST_BLUE else fields


def yuv_at(data: NDArray[np.uint8], x: int, y: int, pix_type: PixelType) -> tuple[int, int, int]:
    first = x - x % 2
    quad = [int(value) for value in data[y, first : first + 2].reshape(-1)]
    if pix_type.name == "YUYV":
        y0, u, y1, v = quad
    else:
        u, y0, v, y1 = quad
    return (y1 if x % 2 else y0), u, v


def pixel_as(
    rgb: Sequence[int], target: PixelType, luma: int | None = None, hsv_range: HsvRange | None = None
) -> tuple[int, ...]:
    """A colour as the elements of a pixel of ``target``; ``luma`` is the Y of a YUV pixel."""
    red, green, blue = rgb
    name = target.plain.name
    if name in ("RGB888", "BGR888"):
        return (blue, green, red) if name == "BGR888" else (red, green, blue)
    if name == "GRAY":
        return ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15 if luma is None else luma,)
    if "565" in name:
        first, third = (blue, red) if name.startswith("BGR") else (red, blue)
        word = (first >> 3) << 11 | (green >> 2) << 5 | third >> 3
        return tuple(struct.pack(">H" if name.endswith("BE") else "<H", word))
    hsv = hsv_of(red, green, blue)
    if name == "HSV":
        return hsv
    assert hsv_range is not None
    return (mask_of(hsv, hsv_range),)


def hsv_of(red: int, green: int, blue: int) -> tuple[int, int, int]:
    value, spread = max(red, green, blue), max(red, green, blue) - min(red, green, blue)
    sdiv = int((255 << 12) / value) if value else 0
    hdiv = int((180 << 12) / (6 * spread)) if spread else 0
    if value == red:
        numerator = green - blue
    elif value == green:
        numerator = blue - red + 2 * spread
    else:
        numerator = red - green + 4 * spread
    hue = (numerator * hdiv + 2048) >> 12
    return (hue + 180 if hue < 0 else hue, (spread * sdiv + 2048) >> 12, value)


def mask_of(hsv: tuple[int, int, int], wanted: HsvRange) -> int:
    low, high = wanted.low, wanted.high
    hue = low[0] <= hsv[0] <= high[0] if low[0] <= high[0] else hsv[0] >= low[0] or hsv[0] <= high[0]
    return 255 if hue and all(low[i] <= hsv[i] <= high[i] for i in (1, 2)) else 0


def converted_pixel(
    data: NDArray[np.uint8], x: int, y: int, source: PixelType, target: PixelType, hsv_range: HsvRange | None = None
) -> tuple[int, ...]:
    """One pixel of a picture as the elements of a pixel of the plain type of ``target``."""
    if source is target.plain or source is PixelType.GRAY:
        return tuple(int(value) for value in data[y, x])
    if source is PixelType.HSV:
        assert hsv_range is not None
        return (mask_of((int(data[y, x, 0]), int(data[y, x, 1]), int(data[y, x, 2])), hsv_range),)
    luma = yuv_at(data, x, y, source)[0] if source.name in ("YUYV", "UYVY") else None
    return pixel_as(rgb_at(data, x, y, source), target, luma, hsv_range)


def nearest(index: int, old: int, new: int, start: int, end: int) -> int:
    """The source coordinate of a resized axis, in binary32 scalars."""
    inverse = np.float32(old) / np.float32(new)
    return min(int(np.float32(index) * inverse) + start, end - 1)
