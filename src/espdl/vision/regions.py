"""Connected regions of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def region_ends(mask: NDArray[np.bool_], limit: int) -> list[NDArray[np.float32]]:
    """The ends of the rows of each region of a mask [height, width], regions being connected over sides and corners.

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
    roots = _joined(rows.tolist(), starts.tolist(), stops.tolist())
    numbers, members = np.unique(roots, return_inverse=True)
    ends = np.column_stack((starts, rows, stops - 1, rows)).astype(np.float32)
    order = np.argsort(members, kind="stable")
    counts = np.bincount(members)
    parts = np.split(ends[order], np.cumsum(counts)[:-1])
    return [part.reshape(-1, 2) for part in parts[: min(limit, len(numbers))]]


def _joined(rows: list[int], starts: list[int], stops: list[int]) -> NDArray[np.intp]:
    """For each run the first run of its region: runs touch when they lie in neighbouring rows and overlap, corners included."""
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    above = 0
    for run in range(len(rows)):
        while rows[above] < rows[run] - 1 or (rows[above] == rows[run] - 1 and stops[above] < starts[run]):
            above += 1
        other = above
        while rows[other] == rows[run] - 1 and starts[other] <= stops[run]:
            a, b = root(other), root(run)
            if a != b:
                parent[max(a, b)] = min(a, b)
            other += 1
    return np.array([root(run) for run in range(len(rows))], np.intp)
