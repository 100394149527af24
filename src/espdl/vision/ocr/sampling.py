"""Pixels between pixels, in the arithmetic of the chip's OCR component (runtime spec 7.11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError

CUBIC = np.float32(-0.75)


def bilinear(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.float32]:
    """uint8 [h, w, channels] to float32 [height, width, channels]; centres lie at half a pixel, the border is repeated."""
    top, bottom, down = _between(pixels.shape[0], height)
    left, right, along = _between(pixels.shape[1], width)
    along, down = along[:, np.newaxis], down[:, np.newaxis, np.newaxis]
    one = np.float32(1)
    lines, next_lines = pixels[top].astype(np.float32), pixels[bottom].astype(np.float32)
    value: NDArray[np.float32] = (one - along) * (one - down) * lines[:, left]
    value += along * (one - down) * lines[:, right]
    value += (one - along) * down * next_lines[:, left]
    value += along * down * next_lines[:, right]
    return value


def _between(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    positions = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * (np.float32(old) / np.float32(new)) - np.float32(0.5)
    first = np.floor(positions)
    index = first.astype(np.intp)
    return np.clip(index, 0, old - 1), np.clip(index + 1, 0, old - 1), positions - first


def perspective(source: ArrayLike, target: ArrayLike) -> NDArray[np.float32]:
    """The projective matrix [3, 3] that leads four points to four others.

    Raises:
        EspdlError: when three of them lie on a line.
    """
    a, b = np.asarray(source, np.float64).reshape(4, 2), np.asarray(target, np.float64).reshape(4, 2)
    rows, values = [], []
    for (x, y), (u, v) in zip(a, b, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    try:
        solved = np.linalg.solve(np.array(rows), np.array(values))
    except np.linalg.LinAlgError:
        raise EspdlError("four corners make no quadrilateral", why="three of them lie on a line") from None
    return np.append(solved, 1).reshape(3, 3).astype(np.float32)


def warped(pixels: NDArray[np.uint8], matrix: NDArray[np.float32], width: int, height: int) -> NDArray[np.uint8]:
    """uint8 [h, w, channels] to [height, width, channels]: each pixel where ``matrix`` leads it, mixed from 4 x 4 neighbours by cubic
    weights; the border is repeated, fractions are cut off.
    """
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, np.newaxis]
    along, down, depth = (row[0] * x + row[1] * y + row[2] for row in matrix)
    xs, ys = along / depth, down / depth
    left, top = np.floor(xs), np.floor(ys)
    weights_x, weights_y = _cubic(xs - left), _cubic(ys - top)
    value = np.zeros((height, width, pixels.shape[2]), np.float32)
    for row in range(4):
        lines = np.clip(top.astype(np.intp) + row - 1, 0, pixels.shape[0] - 1)
        for column in range(4):
            columns = np.clip(left.astype(np.intp) + column - 1, 0, pixels.shape[1] - 1)
            value += (weights_y[row] * weights_x[column])[..., np.newaxis] * pixels[lines, columns]
    return np.clip(value, 0, 255).astype(np.uint8)


def _cubic(x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Weights of the four neighbours of a point that lies x behind the second."""
    a, one = CUBIC, np.float32(1)
    far, back = x + one, one - x
    first = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    second = ((a + 2) * x - (a + 3)) * x * x + one
    third = ((a + 2) * back - (a + 3)) * back * back + one
    return [first, second, third, one - first - second - third]
