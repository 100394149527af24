"""Which row of a drawing each vertex stands in, and in which order.

Rows are longest paths from the sources, with vertices moved down where that shortens more edges than it lengthens. Edges over several
rows get a bend in every row between. The order within rows is that of the barycentres of the neighbours (Sugiyama, Tagawa and Toda 1981).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[int, int]

SWEEPS = 10
MOST_BENDS = 20_000
"""Bends of a drawing; edges for which none are left, the longest ones, run straight."""


@dataclass(frozen=True)
class Layers:
    """Vertices in rows.

    Attributes:
        rows: vertices of every row from left to right. Numbers from ``vertices`` on are bends.
        row_of: row of every vertex and bend.
        paths: of every edge, its vertices and bends from source to sink.
        segments: pairs of vertices or bends in adjoining rows.
    """

    vertices: int
    rows: list[list[int]]
    row_of: list[int]
    paths: list[list[int]]
    segments: list[Edge]


def assign_layers(count: int, edges: Sequence[Edge]) -> Layers:
    """Puts vertices 0 .. ``count`` - 1 into rows.

    Args:
        edges: from a smaller to a larger number.
    """
    row_of = _rows(count, edges)
    paths = [[source, sink] for source, sink in edges]
    left = MOST_BENDS
    for index in sorted(range(len(edges)), key=lambda i: row_of[edges[i][1]] - row_of[edges[i][0]]):
        source, sink = edges[index]
        between = row_of[sink] - row_of[source] - 1
        if between <= 0 or between > left:
            continue
        left -= between
        bends = range(len(row_of), len(row_of) + between)
        row_of.extend(range(row_of[source] + 1, row_of[sink]))
        paths[index] = [source, *bends, sink]
    pairs = [pair for path in paths for pair in pairwise(path)]
    segments = [(a, b) for a, b in dict.fromkeys(pairs) if row_of[b] == row_of[a] + 1]
    rows: list[list[int]] = [[] for _ in range(max(row_of, default=-1) + 1)]
    for vertex in _first_order(len(row_of), segments):
        rows[row_of[vertex]].append(vertex)
    return Layers(count, _ordered(rows, segments, len(row_of)), row_of, paths, segments)


def _rows(count: int, edges: Sequence[Edge]) -> list[int]:
    into: list[list[int]] = [[] for _ in range(count)]
    out: list[list[int]] = [[] for _ in range(count)]
    for source, sink in edges:
        into[sink].append(source)
        out[source].append(sink)
    rows = [0] * count
    for vertex in range(count):
        rows[vertex] = max((rows[source] + 1 for source in into[vertex]), default=0)
    for vertex in reversed(range(count)):
        if len(out[vertex]) > len(into[vertex]):
            rows[vertex] = min(rows[sink] for sink in out[vertex]) - 1
    return rows


def neighbours(count: int, segments: Sequence[Edge]) -> tuple[list[list[int]], list[list[int]]]:
    """Those above and those below every vertex and bend."""
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for upper, lower in segments:
        above[lower].append(upper)
        below[upper].append(lower)
    return above, below


def _first_order(count: int, segments: Sequence[Edge]) -> list[int]:
    """Depth first: branches begin side by side."""
    above, below = neighbours(count, segments)
    order: list[int] = []
    seen = [False] * count
    for start in range(count):
        if above[start] or seen[start]:
            continue
        stack = [start]
        while stack:
            vertex = stack.pop()
            if not seen[vertex]:
                seen[vertex] = True
                order.append(vertex)
                stack.extend(reversed(below[vertex]))
    return order


def _ordered(rows: list[list[int]], segments: Sequence[Edge], count: int) -> list[list[int]]:
    above, below = neighbours(count, segments)
    place = [0.0] * count
    for row in rows:
        _number(row, place)
    best, fewest = [list(row) for row in rows], _crossings(rows, below, place)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        downwards = sweep % 2 == 0
        for row in rows[1:] if downwards else rows[-2::-1]:
            beside = above if downwards else below
            wanted = {v: sum(place[n] for n in beside[v]) / len(beside[v]) if beside[v] else place[v] for v in row}
            row.sort(key=wanted.__getitem__)
            _number(row, place)
        crossings = _crossings(rows, below, place)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _number(row: Sequence[int], place: list[float]) -> None:
    for index, vertex in enumerate(row):
        place[vertex] = index


def _crossings(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]], place: Sequence[float]) -> int:
    """Pairs of segments that cross: inversions among the lower ends, taken in the order of the upper ones."""
    total = 0
    for row in rows:
        ends: list[float] = []
        for vertex in row:
            lower = [place[n] for n in below[vertex]]
            total += sum(len(ends) - bisect_right(ends, end) for end in lower)
            for end in lower:
                insort(ends, end)
    return total
