"""Drawing into an image as the chip does it: points and hollow rectangles (runtime spec 7.5).

For pictures to look at there is :mod:`espdl.vision.image.annotate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from espdl.errors import EspdlError
from espdl.vision.image.color import Bytes
from espdl.vision.image.convert import convert_pixels
from espdl.vision.image.picture import Image
from espdl.vision.image.pixel import Kind, PixelType

Color = int | Sequence[int]
"""Red, green and blue, 0 to 255; one number for gray images and masks."""


def draw_point(image: Image, x: int, y: int, color: Color, radius: int) -> None:
    """Fills the disc of ``radius`` around (x, y), as far as it lies in the image.

    Raises:
        EspdlError: when its centre lies outside, or nothing can be drawn on the image.
    """
    pixel = _pixel(image, color)
    if not (0 <= x < image.width and 0 <= y < image.height) or radius < 0:
        raise EspdlError(f"a point of radius {radius} at ({x}, {y}) lies outside of {image!r}")
    top, left = max(0, y - radius), max(0, x - radius)
    area = image.data[top : y + radius + 1, left : x + radius + 1]
    rows = np.arange(top, top + area.shape[0])[:, np.newaxis] - y
    columns = np.arange(left, left + area.shape[1]) - x
    area[rows * rows + columns * columns <= radius * radius] = pixel


def draw_hollow_rectangle(image: Image, x1: int, y1: int, x2: int, y2: int, color: Color, line_width: int = 1) -> None:
    """Draws the border of the box with the corner pixels (x1, y1) and (x2, y2).

    Half of ``line_width``, rounded down, lies outside of the box, as far as that is in the image; the rest, corner pixels and all, inside.

    Raises:
        EspdlError: for a box that is empty or reaches out of the image, or when nothing can be drawn on the image.
    """
    pixel = _pixel(image, color)
    if not (0 <= x1 < x2 < image.width and 0 <= y1 < y2 < image.height) or line_width < 1:
        raise EspdlError(f"a box from ({x1}, {y1}) to ({x2}, {y2}) of width {line_width} cannot be drawn on {image!r}")
    outward = line_width // 2
    inward = line_width - outward
    rows = slice(max(0, y1 - outward), y2 + outward + 1)
    columns = slice(max(0, x1 - outward), x2 + outward + 1)
    image.data[rows.start : y1 + inward, columns] = pixel
    image.data[max(rows.start, y2 - inward + 1) : rows.stop, columns] = pixel
    image.data[rows, columns.start : x1 + inward] = pixel
    image.data[rows, max(columns.start, x2 - inward + 1) : columns.stop] = pixel


def _pixel(image: Image, color: Color) -> Bytes:
    """``color`` as a pixel of ``image``: [elements]."""
    if image.pix_type.is_quantized or image.pix_type.kind is Kind.YUV:
        raise EspdlError(f"nothing can be drawn on {image!r}", hint="draw before it is converted")
    if not image.data.flags.writeable:
        raise EspdlError(f"{image!r} cannot be written to", hint="draw on image.copy()")
    values = (color,) if isinstance(color, int) else tuple(color)
    channels = image.pix_type.channels
    if len(values) != channels or not all(0 <= value <= 255 for value in values):
        raise EspdlError(
            f"{color!r} is no colour of {image!r}", hint=f"give {'one number' if channels == 1 else 'red, green, blue'}"
        )
    pixel = np.array(values, np.uint8)
    return pixel if channels == 1 else convert_pixels(pixel, PixelType.RGB888, image.pix_type)
