"""LUT and Gelu: any function as a table (runtime spec 3.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tests.cases.oracle.activations import looked_up8
from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import HALF_UP

Rule = Callable[[Sequence[int], int, int], int]


@oracle("LUT", "Gelu")
def table(node: Node) -> Array:
    source = node.x()
    if source.dtype == "int8":
        return looked_up8(node)
    assert node.lut is not None
    entries = node.lut.values
    step = 1 if len(entries) == 65536 else 65536 // (len(entries) - 1)
    if step == 1:
        return source.map(lambda value: entries[value + 32768])
    if node.options.get("int16_lut") == "interpolating":
        return source.map(lambda value: between(entries, step, value + 32768))
    half_up = node.rounding == HALF_UP
    return source.map(lambda value: nearest(entries, step, value + 32768, half_up))


def nearest(entries: Sequence[int], step: int, place: int, half_up: bool) -> int:
    """The entry next to ``place``; of two, the higher one, or the one with an even number."""
    q, r, h = place // step, place % step, step // 2
    if half_up:
        return entries[q + (r >= h)]
    return entries[q + (r > h or (r == h and q % 2 == 1))]


def between(entries: Sequence[int], step: int, place: int) -> int:
    """On the line between two entries, cut towards zero: the rule of files made before July 2026."""
    index, length = divmod(place, step)
    return entries[index] + math.trunc(length * (entries[index + 1] - entries[index]) / step)
