"""Where the vertices of a drawing lie: rows from top to bottom, neighbours above one another where there is room."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from espdl.report.graph.layers import Edge, Layers, assign_layers, neighbours

SWEEPS, SNAPS = 24, 6
GAP_X, GAP_Y = 22.0, 44.0
BEND_WIDTH = 12.0
STRAIGHT = 6.0
"""How much more than others an edge pulls between two bends, or between two vertices that have no other in its direction: they become
straight."""


@dataclass(frozen=True)
class Placement:
    """A drawing without its looks.

    Attributes:
        width, height: of it all.
        centres: x of the middle and y of the top of every vertex.
        routes: of every edge, points (x, upper y, lower y) from its source to its sink; an edge runs from the lower y of one point to the
            upper y of the next.
    """

    width: float
    height: float
    centres: list[tuple[float, float]]
    routes: list[list[tuple[float, float, float]]]


def place(sizes: Sequence[tuple[float, float]], edges: Sequence[Edge]) -> Placement:
    """Places vertices of given width and height.

    Args:
        sizes: of vertices 0, 1, ...
        edges: from a smaller to a larger number.
    """
    layers = assign_layers(len(sizes), edges)
    count = len(layers.row_of)
    widths = [size[0] for size in sizes] + [BEND_WIDTH] * (count - len(sizes))
    heights = [max((sizes[v][1] for v in row if v < len(sizes)), default=0.0) for row in layers.rows]
    tops = [0.0, *accumulate(height + GAP_Y for height in heights)]
    x = _columns(layers, widths)
    left = min((x[v] - widths[v] / 2 for v in range(count)), default=0.0)
    right = max((x[v] + widths[v] / 2 for v in range(count)), default=0.0)
    x = [value - left for value in x]

    def point(vertex: int) -> tuple[float, float, float]:
        row = layers.row_of[vertex]
        return x[vertex], tops[row], tops[row] + (sizes[vertex][1] if vertex < len(sizes) else heights[row])

    return Placement(
        right - left,
        max(tops[-1] - GAP_Y, 0.0),
        [(x[v], tops[layers.row_of[v]]) for v in range(len(sizes))],
        [[point(vertex) for vertex in path] for path in layers.paths],
    )


def _columns(layers: Layers, widths: Sequence[float]) -> list[float]:
    above, below = neighbours(len(widths), layers.segments)
    stiff = {
        frozenset((a, b))
        for a, b in layers.segments
        if min(a, b) >= layers.vertices or (len(below[a]) == 1 and len(above[b]) == 1)
    }
    chains = _chains(len(widths), stiff)
    x = [0.0] * len(widths)
    for row in layers.rows:
        offsets = _offsets(row, widths)
        for vertex, offset in zip(row, offsets, strict=True):
            x[vertex] = offset - offsets[-1] / 2
    for sweep in range(SWEEPS):
        downwards, last = sweep % 2 == 0, sweep == SWEEPS - 1
        for row in layers.rows if downwards else reversed(layers.rows):
            wanted, weights = [], []
            for vertex in row:
                beside = above[vertex] + below[vertex] if last else above[vertex] if downwards else below[vertex]
                pulls = [STRAIGHT if frozenset((vertex, n)) in stiff else 1.0 for n in beside]
                total = sum(pulls)
                pulled = sum(p * x[n] for p, n in zip(pulls, beside, strict=True))
                wanted.append(pulled / total if total else x[vertex])
                weights.append(max(total, 0.01))
            for vertex, value in zip(row, _apart(wanted, weights, _offsets(row, widths)), strict=True):
                x[vertex] = value
    members = _members(chains)
    for _ in range(SNAPS):
        middles = {chain: sum(x[v] for v in own) / len(own) for chain, own in members.items()}
        for row in layers.rows:
            wanted = [middles[chains[vertex]] for vertex in row]
            weights = [float(len(members[chains[vertex]])) for vertex in row]
            for vertex, value in zip(row, _apart(wanted, weights, _offsets(row, widths)), strict=True):
                x[vertex] = value
    return x


def _chains(count: int, stiff: Collection[frozenset[int]]) -> list[int]:
    """The first member of the chain of stiff edges that every vertex and bend belongs to."""
    chains = list(range(count))
    joined: dict[int, list[int]] = {}
    for pair in stiff:
        a, b = pair
        joined.setdefault(a, []).append(b)
        joined.setdefault(b, []).append(a)
    seen: set[int] = set()
    for start in range(count):
        stack = [start] if start not in seen else []
        while stack:
            vertex = stack.pop()
            if vertex not in seen:
                seen.add(vertex)
                chains[vertex] = start
                stack.extend(joined.get(vertex, ()))
    return chains


def _members(chains: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for vertex, chain in enumerate(chains):
        found.setdefault(chain, []).append(vertex)
    return found


def _offsets(row: Sequence[int], widths: Sequence[float]) -> list[float]:
    """Distances from the first of a row when it is as narrow as it can be."""
    steps = [(widths[a] + widths[b]) / 2 + GAP_X for a, b in pairwise(row)]
    return [0.0, *accumulate(steps)]


def _apart(wanted: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The places nearest to ``wanted`` (weighted least squares) that keep the order and the distances: pool adjacent violators."""
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members
    for target, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, total, members = target - offset, weight, 1
        while blocks and blocks[-1][0] > mean:
            other, other_total, other_members = blocks.pop()
            mean = (mean * total + other * other_total) / (total + other_total)
            total, members = total + other_total, members + other_members
        blocks.append((mean, total, members))
    means = [mean for mean, _, members in blocks for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
