"""Pictures to look at: boxes with labels, key points and masks drawn over a picture, by Pillow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.vision.image.codec import Source, read_image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageDraw import ImageDraw as Drawing
    from PIL.ImageFont import FreeTypeFont, ImageFont

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324", "#800000", "#808000")
"""Easy to tell apart, and dark enough for white text."""

MASK_OPACITY = 0.45


@dataclass(frozen=True, eq=False)
class Mark:
    """One thing to show in a picture, in its pixels.

    Attributes:
        box: [x1, y1, x2, y2], or None.
        label: text above the box.
        color: which of ``COLORS``; the number of a class for instance.
        points: (x, y) of key points; None for one that is not seen.
        links: pairs of numbers of points to connect.
        mask: bool or 0/1 [y2 - y1, x2 - x1], the pixels of the box that belong to the thing.
        polygon: corners (x, y) of an outline, in place of or beside the box.
    """

    box: Sequence[int] | None = None
    label: str = ""
    color: int = 0
    points: Sequence[tuple[float, float] | None] = ()
    links: Sequence[tuple[int, int]] = ()
    mask: NDArray | None = None
    polygon: Sequence[tuple[float, float]] = ()


def annotate(image: Source, marks: Iterable[Mark]) -> PillowImage:
    """A copy of ``image`` with ``marks`` drawn over it. Lines and text grow with the picture.

    Raises:
        EspdlError: for a picture that cannot be read, or a mask of another size than its box.
    """
    from PIL import ImageDraw, ImageFont

    picture = read_image(image).to_pil().convert("RGB")
    todo = list(marks)
    for mark in todo:
        if mark.mask is not None:
            picture = _with_mask(picture, mark)
    thickness = max(1, round(min(picture.size) / 200))
    font = ImageFont.load_default(max(10, 7 * thickness))
    drawing = ImageDraw.Draw(picture)
    for mark in todo:
        _draw_shape(drawing, mark, thickness)
    for mark in todo:  # over all boxes
        _draw_label(drawing, mark, thickness, font)
    return picture


def _color(mark: Mark) -> str:
    return COLORS[mark.color % len(COLORS)]


def _with_mask(picture: PillowImage, mark: Mark) -> PillowImage:
    from PIL import Image as pillow
    from PIL import ImageColor

    if mark.box is None or mark.mask is None:
        raise EspdlError("a mask needs the box that it lies in")
    x1, y1, x2, y2 = mark.box
    if mark.mask.shape != (y2 - y1, x2 - x1):
        raise EspdlError(f"a mask of {list(mark.mask.shape)} does not fit a box of {[y2 - y1, x2 - x1]}")
    pixels = np.array(picture)
    top, left = max(0, -y1), max(0, -x1)
    area = pixels[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
    chosen = np.asarray(mark.mask, dtype=bool)[top : top + area.shape[0], left : left + area.shape[1]]
    color = np.array(ImageColor.getrgb(_color(mark)), np.float32)
    area[chosen] = (area[chosen] * (1 - MASK_OPACITY) + color * MASK_OPACITY + 0.5).astype(np.uint8)
    return pillow.fromarray(pixels)


def _draw_shape(drawing: Drawing, mark: Mark, thickness: int) -> None:
    color = _color(mark)
    if mark.box is not None:
        x1, y1, x2, y2 = mark.box
        drawing.rectangle((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=color, width=thickness)
    if mark.polygon:
        drawing.line([*mark.polygon, mark.polygon[0]], fill=color, width=thickness, joint="curve")
    for one, other in mark.links:
        start, end = mark.points[one], mark.points[other]
        if start is not None and end is not None:
            drawing.line([start, end], fill=color, width=thickness)
    radius = thickness + 1
    for point in mark.points:
        if point is not None:
            x, y = point
            drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color, outline="white")


def _draw_label(drawing: Drawing, mark: Mark, thickness: int, font: FreeTypeFont | ImageFont) -> None:
    corners = [tuple(mark.box[:2])] if mark.box is not None else list(mark.polygon)
    if not mark.label or not corners:
        return
    x, y = min(corner[0] for corner in corners), min(corner[1] for corner in corners)
    left, top, right, bottom = drawing.textbbox((0, 0), mark.label, font=font)
    width, height = right - left + 2 * thickness, bottom - top + 2 * thickness
    picture_width, picture_height = drawing.im.size if drawing.im else (width, height)
    x = max(0, min(x, picture_width - width))
    y = y - height if y >= height else max(0, min(y, picture_height - height))
    drawing.rectangle((x, y, x + width, y + height), fill=_color(mark))
    drawing.text((x + thickness - left, y + thickness - top), mark.label, fill="white", font=font)
