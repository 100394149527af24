"""Things of a colour in a picture: ColorDetect and ColorRotateDetect (runtime spec 7.12)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.vision.detect.records import Detection
from espdl.vision.hulls import convex_hull, tightest_turn
from espdl.vision.image import Geometry, HsvRange, Image, ImageTransformer, PixelType, Source, read_image
from espdl.vision.morphology import closed, opened
from espdl.vision.regions import filled, outline_area, region_ends

AREA, KERNEL = 256, 5


@dataclass(frozen=True)
class _Color:
    name: str
    finder: ImageTransformer
    area: int


class _Colors:
    """Registered colours, and the mask of each in a picture."""

    def __init__(self, width: int, height: int, morphology: bool, kernel: int) -> None:
        if kernel < 1:
            raise EspdlError(f"a kernel cannot have a side of {kernel}")
        ImageTransformer(width, height, PixelType.RGB888)  # checks the size
        self.width, self.height = width, height
        self.morphology, self.kernel = morphology, kernel
        self._colors: list[_Color] = []

    @property
    def names(self) -> list[str]:
        return [color.name for color in self._colors]

    def register_color(self, hsv: HsvRange, name: str, area: int = AREA) -> None:
        """Adds a colour; its category is the number of those before it.

        Args:
            hsv: what it is.
            name: of the colour, once each.
            area: pixels of the searched image that a region needs, below width x height.

        Raises:
            EspdlError: for a name that is taken, or an area that no region can have.
        """
        if name in self.names:
            raise EspdlError(f"there is a colour {name!r} already")
        if not 0 <= area < self.width * self.height:
            raise EspdlError(f"no region has {area} pixels", why=f"the image has {self.width} x {self.height}")
        self._colors.append(_Color(name, ImageTransformer(self.width, self.height, PixelType.HSV_MASK, hsv_range=hsv), area))

    def delete_color(self, name: str) -> None:
        """Forgets a colour; those behind it move up. Raises :class:`EspdlError` when there is none of that name."""
        if name not in self.names:
            raise EspdlError(f"there is no colour {name!r}", why=f"registered are {', '.join(self.names) or 'none'}")
        del self._colors[self.names.index(name)]

    def _masks(self, picture: Image) -> Iterator[tuple[int, _Color, NDArray[np.bool_], Geometry]]:
        for category, color in enumerate(self._colors):
            image, geometry = color.finder.transform(picture)
            mask = image.data[:, :, 0] > 0
            if self.morphology:
                mask = closed(opened(mask, self.kernel), self.kernel)
            yield category, color, mask, geometry


class ColorDetect(_Colors):
    """Finds connected regions of registered colours.

    Regions of a colour come in the order of their first pixel, row by row; OpenCV, which the chip uses, may number them otherwise.

    Args:
        width, height: of the image in which is searched; pictures are resized to it.
        morphology: open and then close what is found with a square, which drops specks and fills holes.
        kernel: side of the square.

    Raises:
        EspdlError: for a size or a kernel that makes no sense.
    """

    def __init__(self, width: int, height: int, *, morphology: bool = False, kernel: int = KERNEL) -> None:
        super().__init__(width, height, morphology, kernel)

    def run(self, image: Source) -> list[Detection]:
        """Regions of all colours in the order of registration, with score 1, boxes in pixels of the picture.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        picture = read_image(image)
        found = []
        for category, color, mask, geometry in self._masks(picture):
            scale = np.array([geometry.inv_scale_x, geometry.inv_scale_y] * 2, np.float32)
            limit = np.array([picture.width - 1, picture.height - 1] * 2)
            for ends in region_ends(mask, mask.size):
                runs = ends.reshape(-1, 4)
                if (runs[:, 2] - runs[:, 0] + 1).sum() < color.area:
                    continue
                corners = np.append(ends.min(axis=0), ends.max(axis=0) + 1)
                x1, y1, x2, y2 = (int(value) for value in np.clip((corners * scale).astype(int), 0, limit))
                found.append(Detection(category, 1.0, (x1, y1, x2, y2), label=color.name))
        return found


@dataclass(frozen=True)
class RotatedDetection:
    """A region and the smallest rectangle around it, in pixels of the picture.

    Attributes:
        category: number of the colour.
        score: 1.
        center: x, y of the rectangle's middle.
        size: width and height, the width being the side that ``angle`` turns.
        angle: degrees, above 0 and at most 90, from x towards y: clockwise as a picture is seen.
        label: name of the colour.
    """

    category: int
    score: float
    center: tuple[float, float]
    size: tuple[float, float]
    angle: float
    label: str = ""

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """The four corners, going round."""
        c, s = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        (x, y), (w, h) = self.center, (self.size[0] / 2, self.size[1] / 2)
        return tuple((x + a * w * c - b * h * s, y + a * w * s + b * h * c) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)))

    def to_json(self) -> dict[str, Any]:
        """The record as what ``json`` writes."""
        return {
            "category": self.category,
            "label": self.label,
            "score": self.score,
            "center": [round(value, 3) for value in self.center],
            "size": [round(value, 3) for value in self.size],
            "angle": round(self.angle, 3),
        }


class ColorRotateDetect(_Colors):
    """Finds regions of registered colours and the smallest rectangle around each, turned as it lies.

    What is found is opened and closed always. A region's area is that inside its outline, which runs through the middles of its outermost
    pixels: a square of 10 x 10 pixels has 81, holes count, and regions that lie in a hole of another are not found. Regions come in the
    order in which OpenCV lists outlines, the last first.

    OpenCV gives angles above 0 and up to 90 in versions 4.5.1 to 4.12, as here, and -90 up to below 0, with width and height exchanged, in
    others; the rectangle is the same. Which one a chip's build has is not stated. Of two rectangles of equal area OpenCV may take the
    other.

    Args:
        width, height: of the image in which is searched; pictures are resized to it.
        kernel: side of the square with which is opened and closed.

    Raises:
        EspdlError: for a size or a kernel that makes no sense.
    """

    def __init__(self, width: int, height: int, *, kernel: int = KERNEL) -> None:
        super().__init__(width, height, True, kernel)

    def run(self, image: Source) -> list[RotatedDetection]:
        """Regions of all colours in the order of registration.

        Where the picture's proportions are changed on the way, the sides of a rectangle are stretched along their directions and its angle
        stays as it was, as on the chip: it is not the smallest any more.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        picture = read_image(image)
        found = []
        for category, color, mask, geometry in self._masks(picture):
            for ends in reversed(region_ends(filled(mask), mask.size)):
                if outline_area(ends) >= color.area:
                    found.append(RotatedDetection(category, 1.0, *_rectangle(ends, geometry), color.name))
        return found


def _rectangle(ends: NDArray[np.float32], geometry: Geometry) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Middle, width and height, and angle in degrees of the smallest rectangle around points [n, 2], scaled to the picture."""
    hull = convex_hull(ends)
    scale_x, scale_y = np.float32(geometry.inv_scale_x), np.float32(geometry.inv_scale_y)
    if len(hull) == 1:
        return (float(hull[0, 0] * scale_x), float(hull[0, 1] * scale_y)), (0.0, 0.0), 90.0
    left, right, top, bottom, c, s = tightest_turn(hull)
    x, y = (left + right) / 2, (top + bottom) / 2
    center = (float((x * c - y * s) * scale_x), float((x * s + y * c) * scale_y))
    sides = [
        float(np.hypot(extent * a * scale_x, extent * b * scale_y))
        for extent, a, b in ((right - left, c, s), (bottom - top, s, c))
    ]
    angle = math.degrees(math.atan2(s, c))
    turns = (
        math.ceil(angle / 90 - 1e-6) - 1
    )  # quarter turns beyond (0, 90]; rounding leaves right angles a little beside themselves
    width, height = sides if turns % 2 == 0 else sides[::-1]
    return center, (width, height), float(np.float32(angle - 90 * turns))
