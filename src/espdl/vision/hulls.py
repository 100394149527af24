"""Hulls of points, and the rectangle that lies closest around one. Numbers are binary32, as on the chip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float32]


def convex_hull(points: ArrayLike) -> Points:
    """The corners of the hull of points [n, 2], from the one with the least x on, without those on an edge: [k, 2]."""
    unique = np.unique(np.asarray(points, np.float32).reshape(-1, 2), axis=0)  # sorted by x, then by y
    if len(unique) <= 2:
        return unique
    along = [(float(x), float(y)) for x, y in unique]
    return np.array(_half_hull(along) + _half_hull(along[::-1]), np.float32)


def _half_hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Corners on one side, without the last."""
    hull: list[tuple[float, float]] = []
    for x, y in points:
        while len(hull) > 1 and _turn(hull[-2], hull[-1], (x, y)) <= 0:
            hull.pop()
        hull.append((x, y))
    return hull[:-1]


def _turn(o: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


class Turn(NamedTuple):
    """A rectangle about points, in axes turned so that an edge of their hull lies along x.

    Attributes:
        left, right, top, bottom: its sides, in the turned axes.
        cosine, sine: of the angle.
    """

    left: np.float32
    right: np.float32
    top: np.float32
    bottom: np.float32
    cosine: np.float32
    sine: np.float32


def tightest_turn(hull: Points) -> Turn:
    """The rectangle of the least area that lies on an edge of ``hull`` [k, 2], k above 1; the first of equals."""
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.arctan2(edges[:, 1], edges[:, 0])
    cosine, sine = np.cos(angles)[:, np.newaxis], np.sin(angles)[:, np.newaxis]
    x, y = hull[:, 0], hull[:, 1]
    turned_x, turned_y = x * cosine + y * sine, y * cosine - x * sine
    left, right, top, bottom = turned_x.min(axis=1), turned_x.max(axis=1), turned_y.min(axis=1), turned_y.max(axis=1)
    best = int(np.argmin((right - left) * (bottom - top)))
    return Turn(left[best], right[best], top[best], bottom[best], cosine[best, 0], sine[best, 0])
