"""Connected regions of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def region_ends(mask: NDArray[np.bool_], limit: int, *, corners: bool = True) -> list[NDArray[np.float32]]:
    """The ends of the rows of each region of a mask [height, width], regions being connected over sides and, with ``corners``, corners.

    Regions come in the order of their first pixel, row by row; those after ``limit`` are left out. The ends have the same convex hull as
    all pixels of a region.

    Returns:
        One array [n, 2] of x and y for each region.
    """
    height, width = mask.shape
    padded = np.zeros((height, width + 2), np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    rows, starts = np.nonzero(change == 1)
    _, stops = np.nonzero(change == -1)  # one behind the last pixel
    if not len(rows):
        return []
    roots = _joined(rows.tolist(), starts.tolist(), stops.tolist(), int(corners))
    numbers, members = np.unique(roots, return_inverse=True)
    ends = np.column_stack((starts, rows, stops - 1, rows)).astype(np.float32)
    order = np.argsort(members, kind="stable")
    counts = np.bincount(members)
    parts = np.split(ends[order], np.cumsum(counts)[:-1])
    return [part.reshape(-1, 2) for part in parts[: min(limit, len(numbers))]]


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask [height, width] with its holes: what cannot be reached from outside over the sides of pixels, regions in holes included."""
    around = np.pad(~mask, 1, constant_values=True)
    outside = np.zeros(around.shape, bool)
    (x, y, stops) = region_ends(around, 1, corners=False)[0].reshape(-1, 4).astype(int)[:, :3].T
    for row, start, stop in zip(y, x, stops, strict=True):
        outside[row, start : stop + 1] = True
    return ~outside[1:-1, 1:-1]


def outline_area(ends: NDArray[np.float32]) -> float:
    """The area inside the outline of a region without holes, which runs through the middles of its outermost pixels.

    Four pixels in a square enclose 1, three of them one half: for a line one pixel wide it is 0.

    Args:
        ends: [n, 2] as :func:`region_ends` gives them.
    """
    x1, y, x2 = ends.reshape(-1, 4)[:, :3].astype(int).T
    region = np.zeros((np.ptp(y) + 1, x2.max() - x1.min() + 1), np.uint8)
    for row, start, stop in zip(y - y[0], x1 - x1.min(), x2 - x1.min(), strict=True):
        region[row, start : stop + 1] = 1
    squares = region[:-1, :-1] + region[:-1, 1:] + region[1:, :-1] + region[1:, 1:]
    return float(np.count_nonzero(squares == 4) + np.count_nonzero(squares == 3) / 2)


def _joined(rows: list[int], starts: list[int], stops: list[int], reach: int) -> NDArray[np.intp]:
    """For each run the first run of its region: runs touch when they lie in neighbouring rows and, ``reach`` longer, overlap."""
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    above = 0
    for run in range(len(rows)):
        while rows[above] < rows[run] - 1 or (rows[above] == rows[run] - 1 and stops[above] + reach <= starts[run]):
            above += 1
        other = above
        while rows[other] == rows[run] - 1 and starts[other] < stops[run] + reach:
            a, b = root(other), root(run)
            if a != b:
                parent[max(a, b)] = min(a, b)
            other += 1
    return np.array([root(run) for run in range(len(rows))], np.intp)
