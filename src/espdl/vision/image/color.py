"""Colours of pixels, element by element: the formulas of runtime spec 7.2 on arrays of any shape [..., elements]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.vision.image.pixel import PixelType

Bytes = NDArray[np.uint8]

GRAY_SHIFT, RED_WEIGHT, GREEN_WEIGHT, BLUE_WEIGHT = 15, 9798, 19235, 3735
YUV_SHIFT, V_TO_RED, U_TO_GREEN, V_TO_GREEN, U_TO_BLUE = 14, 22987, -5636, -11698, 29049
HSV_SHIFT, HUES = 12, 180

_DIVISORS = np.maximum(np.arange(256), 1)
_SATURATION = np.where(np.arange(256) > 0, (255 << HSV_SHIFT) // _DIVISORS, 0).astype(np.int32)
_HUE = np.where(np.arange(256) > 0, (HUES << HSV_SHIFT) // (6 * _DIVISORS), 0).astype(np.int32)

_CENTRED = np.arange(256, dtype=np.int32) - 128
_HALF = 1 << (YUV_SHIFT - 1)
_RED_OF_V = ((V_TO_RED * _CENTRED + _HALF) >> YUV_SHIFT).astype(np.int16)
_BLUE_OF_U = ((U_TO_BLUE * _CENTRED + _HALF) >> YUV_SHIFT).astype(np.int16)
_GREEN_OF_U, _GREEN_OF_V = U_TO_GREEN * _CENTRED + _HALF, V_TO_GREEN * _CENTRED
"""What U and V of a pixel add; green's two parts are added before they are shifted."""


@dataclass(frozen=True)
class HsvRange:
    """Which colours become 255 in an HSV_MASK image: those between both ends, which belong to it.

    A hue range whose first end is above the second goes round through red.

    Attributes:
        low, high: hue (0..180), saturation (0..255) and value (0..255) of the two ends.

    Raises:
        EspdlError: for a hue above 180, or ends of saturation or value that are not in ascending order.
    """

    low: tuple[int, int, int]
    high: tuple[int, int, int]

    def __post_init__(self) -> None:
        if not all(0 <= value <= 255 for value in (*self.low, *self.high)):
            raise EspdlError(f"the ends of a colour range are 0 to 255, given are {self.low} and {self.high}")
        if max(self.low[0], self.high[0]) > HUES:
            raise EspdlError(f"a hue is at most {HUES}, given are {self.low[0]} and {self.high[0]}", why="one step is 2 degrees")
        for name, low, high in zip(("saturation", "value"), self.low[1:], self.high[1:], strict=True):
            if low >= high:
                raise EspdlError(f"a range of {name} from {low} to {high} is empty for the chip", hint="give a larger end")

    def mask(self, hsv: Bytes) -> Bytes:
        """255 where a pixel lies in the range, else 0: [..., 3] to [..., 1]."""
        inside = (hsv >= np.asarray(self.low, np.uint8)) & (hsv <= np.asarray(self.high, np.uint8))
        if self.low[0] > self.high[0]:
            inside[..., 0] = (hsv[..., 0] >= self.low[0]) | (hsv[..., 0] <= self.high[0])
        return np.where(inside.all(axis=-1, keepdims=True), np.uint8(255), np.uint8(0))


def gray_of(rgb: Bytes) -> Bytes:
    """[..., 3] red first to [..., 1]."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    weighted = RED_WEIGHT * red + GREEN_WEIGHT * green + BLUE_WEIGHT * blue + (1 << (GRAY_SHIFT - 1))
    return (weighted >> GRAY_SHIFT).astype(np.uint8)[..., np.newaxis]


def unpack_565(pixels: Bytes, pix_type: PixelType) -> Bytes:
    """Bytes of 565 pixels [..., 2] to [..., 3], red first. The low bits are zero, not repeated from the high ones."""
    low, high = (pixels[..., 1], pixels[..., 0]) if pix_type.is_big_endian else (pixels[..., 0], pixels[..., 1])
    fields = np.empty((*pixels.shape[:-1], 3), np.uint8)
    first, third = (2, 0) if pix_type.is_blue_first else (0, 2)
    fields[..., first] = high & 0xF8
    fields[..., 1] = ((high & 0x07) << 5) | ((low & 0xE0) >> 3)
    fields[..., third] = (low & 0x1F) << 3
    return fields


def pack_565(rgb: Bytes, pix_type: PixelType) -> Bytes:
    """[..., 3] red first to the bytes of 565 pixels [..., 2]; low bits are cut off."""
    first, third = (2, 0) if pix_type.is_blue_first else (0, 2)
    high = (rgb[..., first] & 0xF8) | (rgb[..., 1] >> 5)
    low = ((rgb[..., 1] & 0x1C) << 3) | (rgb[..., third] >> 3)
    return np.stack((high, low) if pix_type.is_big_endian else (low, high), axis=-1)


def hsv_of(rgb: Bytes) -> Bytes:
    """[..., 3] red first to hue (0..179), saturation and value, with divisions by table as in OpenCV's 8-bit conversion."""
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    half = 1 << (HSV_SHIFT - 1)
    saturation = (spread * _SATURATION[value] + half) >> HSV_SHIFT
    numerator = np.where(value == red, green - blue, np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread))
    hue = (numerator * _HUE[spread] + half) >> HSV_SHIFT
    hue += np.where(hue < 0, HUES, 0)
    return np.stack((hue, saturation, value), axis=-1).astype(np.uint8)


def rgb_of_yuv(yuv: Bytes) -> Bytes:
    """[..., 3] of Y, U, V (full range BT.601) to [..., 3] red first."""
    y, u, v = (yuv[..., channel] for channel in range(3))
    rgb = np.empty(yuv.shape, np.int16)
    np.add(_RED_OF_V.take(v), y, out=rgb[..., 0])
    np.add(((_GREEN_OF_U.take(u) + _GREEN_OF_V.take(v)) >> YUV_SHIFT).astype(np.int16), y, out=rgb[..., 1])
    np.add(_BLUE_OF_U.take(u), y, out=rgb[..., 2])
    return np.clip(rgb, 0, 255, out=rgb).astype(np.uint8)
