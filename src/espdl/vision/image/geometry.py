"""Where the pixels of a transformed image come from: crop, border, scale, letterbox, affine warp (runtime spec 7.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError

WARP_SHIFT = 10


class Border(NamedTuple):
    """Background around the picture, in pixels."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


NO_BORDER = Border()


class Crop(NamedTuple):
    """Part of a picture: from (x1, y1) up to but not including (x2, y2)."""

    x1: int
    y1: int
    x2: int
    y2: int

    @property
    def width(self) -> int:
        return self.x2 - self.x1

    @property
    def height(self) -> int:
        return self.y2 - self.y1


@dataclass(frozen=True)
class Geometry:
    """How a picture was brought into an image of another size.

    A point (x, y) of the new image lies at ``((x - border.left) * inv_scale_x + crop.x1, (y - border.top) * inv_scale_y + crop.y1)`` of
    the picture.

    Attributes:
        source_width, source_height: of the picture.
        width, height: of the new image.
        crop: the part of the picture that was taken.
        border: background around it in the new image.
        inv_scale_x, inv_scale_y: pixels of the picture for one of the new image, binary32; 1 for warped ones.
    """

    source_width: int
    source_height: int
    width: int
    height: int
    crop: Crop
    border: Border
    inv_scale_x: float
    inv_scale_y: float

    @property
    def scale_x(self) -> float:
        return float(np.float32(1) / np.float32(self.inv_scale_x))

    @property
    def scale_y(self) -> float:
        return float(np.float32(1) / np.float32(self.inv_scale_y))

    @property
    def active_width(self) -> int:
        """Columns of the new image that show the picture."""
        return self.width - self.border.left - self.border.right

    @property
    def active_height(self) -> int:
        """Rows of the new image that show the picture."""
        return self.height - self.border.top - self.border.bottom

    @property
    def is_scaled(self) -> bool:
        return (self.crop.width, self.crop.height) != (self.active_width, self.active_height)


def place(
    source: tuple[int, int], target: tuple[int, int], crop: Sequence[int] | None, border: Border, warped: bool = False
) -> Geometry:
    """The geometry of a picture of size ``source`` (width, height) in an image of size ``target``.

    Raises:
        EspdlError: for a crop that is empty or reaches out of the picture, and for a border that leaves nothing of the image.
    """
    width, height = source
    part = checked_crop(crop, width, height)
    for side, size, near, far in (
        ("wide", target[0], border.left, border.right),
        ("high", target[1], border.top, border.bottom),
    ):
        if min(near, far) < 0 or near + far > size - 1:
            raise EspdlError(f"borders of {near} and {far} leave nothing of an image {size} pixels {side}")
    active = (target[0] - border.left - border.right, target[1] - border.top - border.bottom)
    inverse = [1.0, 1.0]
    if not warped and (part.width, part.height) != active:
        inverse = [float(np.float32(size) / np.float32(to)) for size, to in zip((part.width, part.height), active, strict=True)]
    return Geometry(width, height, *target, part, border, *inverse)


def checked_crop(crop: Sequence[int] | None, width: int, height: int) -> Crop:
    """The part of a picture of ``width`` x ``height`` that ``crop`` [x1, y1, x2, y2) names; None is all of it.

    Raises:
        EspdlError: when it is empty or reaches out of the picture.
    """
    if crop is None or len(crop) == 0:
        return Crop(0, 0, width, height)
    if len(crop) != 4 or any(int(value) != value for value in crop):
        raise EspdlError(f"{list(crop)} is no part of a picture", hint="give x1, y1, x2, y2 in whole pixels")
    part = Crop(*(int(value) for value in crop))
    if part.width < 1 or part.height < 1:
        raise EspdlError(f"the part {list(part)} of a picture is empty", hint="x2 and y2 lie behind the last pixel")
    if part.x1 < 0 or part.y1 < 0 or part.x2 > width or part.y2 > height:
        raise EspdlError(f"the part {list(part)} reaches out of a picture of {width} x {height}", hint="clip it first")
    return part


def letterbox(source: tuple[int, int], target: tuple[int, int]) -> Border:
    """The border that keeps the proportions of ``source`` (width, height) in ``target``, in binary32 as the chip has it.

    The scale that is used then is the picture's size over what is left of the image, for x and y by itself.

    Raises:
        EspdlError: for a picture so long or so wide that nothing is left of its other side.
    """
    scale_x = np.float32(target[0]) / np.float32(source[0])
    scale_y = np.float32(target[1]) / np.float32(source[1])
    if scale_x < scale_y:
        pad = target[1] - int(scale_x * np.float32(source[1]))
        border = Border(top=pad // 2, bottom=pad - pad // 2)
    else:
        pad = target[0] - int(scale_y * np.float32(source[0]))
        border = Border(left=pad // 2, right=pad - pad // 2)
    if pad >= target[1 if scale_x < scale_y else 0]:
        raise EspdlError(
            f"a picture of {source[0]} x {source[1]} cannot be fitted into {target[0]} x {target[1]} with its proportions",
            why="nothing would be left of its shorter side",
            hint="cut a part out of it",
        )
    return border


def axis_map(inverse: float, length: int, start: int, end: int) -> NDArray[np.intp]:
    """The source coordinate of each of ``length`` pixels of an axis: ``min(int(i * inverse) + start, end - 1)`` in binary32."""
    steps = (np.arange(length, dtype=np.float32) * np.float32(inverse)).astype(np.intp)
    return np.minimum(steps + start, end - 1)


def affine_matrix(matrix: ArrayLike) -> NDArray[np.float32]:
    """A 2 x 3 matrix in binary32. Raises :class:`EspdlError` for anything else."""
    values = np.asarray(matrix, dtype=np.float32)
    if values.shape != (2, 3) or not np.isfinite(values).all():
        raise EspdlError(f"an affine warp is a finite matrix of 2 x 3, given is {list(values.shape)}")
    return values


def invert_affine(matrix: ArrayLike) -> NDArray[np.float32]:
    """The matrix of the opposite direction. Raises :class:`EspdlError` for one that cannot be inverted."""
    m = affine_matrix(matrix).astype(np.float64)
    try:
        linear = np.linalg.inv(m[:, :2])
    except np.linalg.LinAlgError:
        raise EspdlError("the matrix of the warp cannot be inverted", why="it maps the plane to a line") from None
    return np.column_stack((linear, -linear @ m[:, 2])).astype(np.float32)


def invert_affine_as_chip(matrix: ArrayLike) -> NDArray[np.float32]:
    """What ``set_warp_affine_matrix(M, inv=false)`` makes of ``M``: its translation comes from coefficients not yet inverted (7.3).

    It is :func:`invert_affine` only where the translation is zero or the linear part is its own inverse.
    """
    m = affine_matrix(matrix)
    determinant = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    factor = np.float32(1) / determinant if determinant != 0 else np.float32(0)
    linear = np.array([[m[1, 1], -m[0, 1]], [-m[1, 0], m[0, 0]]], np.float32) * factor
    translation = np.array([-m[0, 0] * m[0, 2] - m[0, 1] * m[1, 2], -m[1, 0] * m[0, 2] - m[1, 1] * m[1, 2]], np.float32)
    return np.column_stack((linear, translation))


def warp_map(matrix: NDArray[np.float32], width: int, height: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Source x and y, each [height, width], of an image warped by ``matrix`` (destination to source), in 1/1024 of a pixel (7.3)."""
    one = np.float32(1 << WARP_SHIFT)
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    coordinates = []
    for a, b, c in matrix:
        along = np.rint(a * columns * one).astype(np.int64)
        down = np.rint((b * rows + c) * one).astype(np.int64)
        coordinates.append((along + down[:, np.newaxis] + (1 << (WARP_SHIFT - 1))) >> WARP_SHIFT)
    return coordinates[0], coordinates[1]
