"""Resize of [1, W, C] and [1, H, W, C] (runtime spec 3.11).

Positions and ratios are binary32, one operation after the other. A line between two values is ``a * (1 - ratio) + b * ratio``.
"""

from __future__ import annotations

import math

from tests.cases.oracle.node import Array, Node, Position, oracle
from tests.cases.oracle.rounding import fl32, power_of_two, round_float, saturate


def _extents(node: Node) -> list[tuple[int, float]]:
    """Output length and input pixels per output pixel of every spatial axis; scales and sizes are in the order N, C, spatial."""
    lengths = node.x().shape[1:-1]
    if node.has(3):
        return [(size, fl32(n / size)) for n, size in zip(lengths, node.x(3).values[2:], strict=True)]
    return [(int(fl32(n * scale)), fl32(1.0 / scale)) for n, scale in zip(lengths, node.x(2).values[2:], strict=True)]


@oracle("Resize")
def resize(node: Node) -> Array:
    x, extents = node.x(), _extents(node)
    shape = [1, *(length for length, _ in extents), x.shape[-1]]
    value = _nearest if node.attributes["mode"] == "nearest" else _linear
    return Array.build(shape, lambda at: _rescaled(node, value(node, x, extents, at)))


def _rescaled(node: Node, value: float) -> int:
    exponent = node.x().exponent
    assert isinstance(exponent, int)
    scaled = fl32(value * power_of_two(exponent - node.y().exponent))
    return saturate(round_float(scaled, node.rounding), node.y().dtype)


def _nearest(node: Node, x: Array, extents: list[tuple[int, float]], at: Position) -> float:
    place = [min(int(fl32(o * inverse)), n - 1) for o, (_, inverse), n in zip(at[1:-1], extents, x.shape[1:-1], strict=True)]
    return float(x[(0, *place, at[-1])])


def _between(node: Node, out: int, extent: tuple[int, float], length: int) -> tuple[int, float]:
    """The pixel before the position, and how far behind it the position lies."""
    target, inverse = extent
    if node.attributes.get("coordinate_transformation_mode") == "align_corners":
        position = fl32(fl32(float(out * (length - 1))) / (target - 1))
    else:
        position = fl32(fl32(fl32(out + 0.5) * inverse) - 0.5)
    before = math.floor(position)
    if before < 0:
        return 0, 0.0
    if before >= length - 1:
        return length - 2, 1.0
    return before, fl32(position - before)


def _line(a: float, b: float, ratio: float) -> float:
    return fl32(fl32(a * fl32(1.0 - ratio)) + fl32(b * ratio))


def _linear(node: Node, x: Array, extents: list[tuple[int, float]], at: Position) -> float:
    places = [_between(node, o, extent, n) for o, extent, n in zip(at[1:-1], extents, x.shape[1:-1], strict=True)]
    left, ratio = places[-1]

    def across(*row: int) -> float:
        return _line(x[(0, *row, left, at[-1])], x[(0, *row, left + 1, at[-1])], ratio)

    if len(places) == 1:
        return across()
    top, down = places[0]
    return _line(across(top), across(top + 1), down)
