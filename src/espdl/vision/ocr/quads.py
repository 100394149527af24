"""Geometry of text boxes: the smallest rectangle around points, growing it, the pixels inside (runtime spec 7.11).

Numbers are binary32, as on the chip; it may fuse products with sums, so a corner can differ by a pixel where it lies between two.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.vision.hulls import Points, convex_hull, tightest_turn

HALF_TURN = np.float32(math.pi)
ARC_STEP = HALF_TURN / np.float32(12)
_TINY = 1e-6


def ordered(corners: ArrayLike) -> Points:
    """Four corners in the order top left, top right, bottom right, bottom left: by x + y, the other two by y - x."""
    points = np.asarray(corners, np.float32).reshape(4, 2)
    sums = points.sum(axis=1)
    first, last = int(np.argmin(sums)), int(np.argmax(sums))
    others = [i for i in range(4) if i not in (first, last)][:2]
    right, left = sorted(others, key=lambda i: float(points[i, 1] - points[i, 0]))
    return points[[first, right, last, left]]


def distance(a: ArrayLike, b: ArrayLike) -> np.float32:
    """Between two points."""
    off = np.asarray(a, np.float32) - np.asarray(b, np.float32)
    return np.sqrt(off[0] * off[0] + off[1] * off[1])


def smallest_rectangle(points: ArrayLike) -> tuple[Points, float]:
    """The rectangle of the least area around points that lies on an edge of their hull, its corners :func:`ordered`, and its shorter side.

    A single point becomes a square of side 1.
    """
    hull = convex_hull(points)
    if len(hull) == 1:
        return hull[0] + np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32), 1.0
    left, right, top, bottom, c, s = tightest_turn(hull)
    xs = np.array([left, right, right, left], np.float32)
    ys = np.array([top, top, bottom, bottom], np.float32)
    corners = ordered(np.column_stack((xs * c - ys * s, xs * s + ys * c)))
    return corners, float(min(distance(corners[0], corners[1]), distance(corners[1], corners[2])))


def grown(corners: ArrayLike, ratio: float) -> Points:
    """A rectangle grown on all sides by ``area * ratio / perimeter``, its corners rounded by arcs with a point every 15 degrees: [n, 2]."""
    polygon = np.asarray(corners, np.float32).reshape(4, 2)
    x, y = polygon[:, 0], polygon[:, 1]
    area = np.float32(0.5) * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y, dtype=np.float32)
    if area < 0:
        polygon = polygon[::-1]
    edges = np.roll(polygon, -1, axis=0) - polygon
    lengths = np.sqrt(edges[:, 0] * edges[:, 0] + edges[:, 1] * edges[:, 1])
    perimeter = lengths.sum(dtype=np.float32)
    by = abs(area) * np.float32(ratio) / perimeter if perimeter > 0 else np.float32(0)
    if by <= _TINY:
        return polygon
    outward = np.column_stack((edges[:, 1], -edges[:, 0])) / np.maximum(lengths, np.float32(_TINY))[:, np.newaxis]
    directions = np.arctan2(outward[:, 1], outward[:, 0])
    parts = []
    for corner in range(4):
        if min(lengths[corner - 1], lengths[corner]) < _TINY:
            continue
        begin = directions[corner - 1]
        turn = directions[corner] - begin
        if turn <= 0:
            turn += 2 * HALF_TURN
        if turn > HALF_TURN + np.float32(1e-3):  # an inner corner
            parts.append(polygon[corner] + by * outward[[corner - 1, corner]])
            continue
        steps = max(1, math.ceil(turn / ARC_STEP))
        angles = begin + turn * (np.arange(steps + 1, dtype=np.float32) / np.float32(steps))
        parts.append(polygon[corner] + by * np.column_stack((np.cos(angles), np.sin(angles))))
    return np.concatenate(parts).astype(np.float32)


def mean_inside(values: NDArray[np.float32], corners: ArrayLike) -> float:
    """The mean of ``values`` [height, width] over the pixels whose centre lies inside four corners (even-odd rule); 0 without any."""
    quad = np.asarray(corners, np.float32).reshape(4, 2)
    height, width = values.shape
    low, high = np.floor(quad.min(axis=0)).astype(int), np.ceil(quad.max(axis=0)).astype(int)
    left, right = np.clip((low[0], high[0]), 0, width - 1)
    top, bottom = np.clip((low[1], high[1]), 0, height - 1)
    x = np.arange(left, right + 1, dtype=np.float32) + np.float32(0.5)
    y = (np.arange(top, bottom + 1, dtype=np.float32) + np.float32(0.5))[:, np.newaxis]
    inside = np.zeros((len(y), len(x)), bool)
    for (xi, yi), (xj, yj) in zip(quad, np.roll(quad, 1, axis=0), strict=True):
        crossing = (xj - xi) * (y - yi) / (yj - yi + np.float32(_TINY)) + xi
        inside ^= ((yi > y) != (yj > y)) & (x < crossing)
    chosen = values[top : bottom + 1, left : right + 1][inside]
    return float(np.add.accumulate(chosen, dtype=np.float32)[-1] / np.float32(len(chosen))) if len(chosen) else 0.0
