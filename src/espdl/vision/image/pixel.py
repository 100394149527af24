"""Pixel types, with the numbers and the memory layout that they have on the chip (runtime spec 7.1)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from espdl.errors import EspdlError

_PREFIX = "DL_IMAGE_PIX_TYPE_"


class Kind(enum.Enum):
    """What the numbers of a pixel mean."""

    COLOR = "color"
    GRAY = "gray"
    PACKED = "packed"
    HSV = "hsv"
    MASK = "mask"
    YUV = "yuv"


@dataclass(frozen=True)
class _Facts:
    kind: Kind
    dtype: str
    elements: int
    blue_first: bool = False
    big_endian: bool = False


class PixelType(enum.IntEnum):
    """Type of the pixels of an :class:`~espdl.vision.image.Image`; the values are those of ``pix_type_t`` on the chip."""

    RGB888 = 0
    RGB888_QINT8 = 1
    RGB888_QINT16 = 2
    BGR888 = 3
    BGR888_QINT8 = 4
    BGR888_QINT16 = 5
    GRAY = 6
    GRAY_QINT8 = 7
    GRAY_QINT16 = 8
    RGB565LE = 9
    RGB565BE = 10
    BGR565LE = 11
    BGR565BE = 12
    HSV = 13
    HSV_MASK = 14
    YUYV = 15
    UYVY = 16

    @classmethod
    def of(cls, name: str | int | PixelType) -> PixelType:
        """The type of that name (``"RGB888"``, or with the prefix it has in C) or number.

        Raises:
            EspdlError: when there is none.
        """
        try:
            return cls(name) if isinstance(name, int) else cls[name.removeprefix(_PREFIX).upper()]
        except (KeyError, ValueError):
            raise EspdlError(f"there is no pixel type {name!r}", hint="known are " + ", ".join(cls.__members__)) from None

    @property
    def kind(self) -> Kind:
        return _FACTS[self].kind

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements of a pixel: uint8, or int8 or int16 of quantized ones."""
        return np.dtype(_FACTS[self].dtype)

    @property
    def elements(self) -> int:
        """Elements a pixel takes in memory: the last axis of ``Image.data``."""
        return _FACTS[self].elements

    @property
    def bytes_per_pixel(self) -> int:
        return self.elements * self.dtype.itemsize

    @property
    def channels(self) -> int:
        """Colour channels of a pixel, however they are packed."""
        return 1 if self.kind in (Kind.GRAY, Kind.MASK) else 3

    @property
    def is_quantized(self) -> bool:
        return self.dtype.kind == "i"

    @property
    def is_blue_first(self) -> bool:
        """Of colours: blue comes before red."""
        return _FACTS[self].blue_first

    @property
    def is_big_endian(self) -> bool:
        """Of packed colours: the byte with the first field comes first."""
        return _FACTS[self].big_endian

    @property
    def plain(self) -> PixelType:
        """Of a quantized type: the one before quantizing; any other is plain itself."""
        return PixelType[self.name.partition("_Q")[0]]


def quantized(plain: PixelType, dtype: np.dtype) -> PixelType:
    """The type of ``plain`` pixels (RGB888, BGR888 or GRAY) quantized to int8 or int16."""
    return PixelType[f"{plain.name}_QINT{8 * dtype.itemsize}"]


_C, _G, _P, _Y = Kind.COLOR, Kind.GRAY, Kind.PACKED, Kind.YUV
_FACTS = dict(
    zip(
        PixelType,
        (
            _Facts(_C, "u1", 3),
            _Facts(_C, "i1", 3),
            _Facts(_C, "<i2", 3),
            _Facts(_C, "u1", 3, blue_first=True),
            _Facts(_C, "i1", 3, blue_first=True),
            _Facts(_C, "<i2", 3, blue_first=True),
            _Facts(_G, "u1", 1),
            _Facts(_G, "i1", 1),
            _Facts(_G, "<i2", 1),
            _Facts(_P, "u1", 2),
            _Facts(_P, "u1", 2, big_endian=True),
            _Facts(_P, "u1", 2, blue_first=True),
            _Facts(_P, "u1", 2, blue_first=True, big_endian=True),
            _Facts(Kind.HSV, "u1", 3),
            _Facts(Kind.MASK, "u1", 1),
            _Facts(_Y, "u1", 2),
            _Facts(_Y, "u1", 2),
        ),
        strict=True,
    )
)
