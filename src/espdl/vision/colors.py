"""Things of a colour in a picture: ColorDetect (runtime spec 7.12)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.vision.detect.records import Detection
from espdl.vision.image import HsvRange, ImageTransformer, PixelType, Source, read_image
from espdl.vision.regions import region_ends

AREA, KERNEL = 256, 5


@dataclass(frozen=True)
class _Color:
    name: str
    finder: ImageTransformer
    area: int


class ColorDetect:
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

    def run(self, image: Source) -> list[Detection]:
        """Regions of all colours in the order of registration, with score 1, boxes in pixels of the picture.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        picture = read_image(image)
        found = []
        for category, color in enumerate(self._colors):
            mask_image, geometry = color.finder.transform(picture)
            mask = mask_image.data[:, :, 0] > 0
            if self.morphology:
                mask = _closed(_opened(mask, self.kernel), self.kernel)
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


def _opened(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    return _dilated(_eroded(mask, side), side)


def _closed(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    return _eroded(_dilated(mask, side), side)


def _eroded(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """What lies outside the mask does not eat into it."""
    return ~_dilated(~mask, side)


def _dilated(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Whether any pixel of the square around each is set, its middle being ``side // 2``."""
    before, after = side // 2, side - 1 - side // 2
    for axis in (0, 1):
        width = [(before, after) if one == axis else (0, 0) for one in (0, 1)]
        mask = np.asarray(sliding_window_view(np.pad(mask, width), side, axis=axis).any(axis=-1), bool)
    return mask
