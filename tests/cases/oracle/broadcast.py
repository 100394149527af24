"""Two operands of different shapes (runtime spec 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cases.oracle.node import Array, Position


def aligned(shape: Position, rank: int) -> Position:
    """The shape with ones in front."""
    return (1,) * (rank - len(shape)) + tuple(shape)


def broadcast_shape(a: Position, b: Position) -> Position:
    """The larger extent of each right-aligned axis."""
    rank = max(len(a), len(b))
    return tuple(max(x, y) for x, y in zip(aligned(a, rank), aligned(b, rank), strict=True))


def element(array: Array, at: Position) -> Any:
    """The element that ``array`` contributes to a position of the broadcast shape."""
    shape = aligned(array.shape, len(at))
    own = [0 if length == 1 else place for place, length in zip(at, shape, strict=True)]
    return array[own[len(at) - len(array.shape) :]]


def broadcast(a: Array, b: Array, operation: Callable[[Any, Any], Any]) -> Array:
    """``operation(a, b)`` everywhere."""
    return Array.build(broadcast_shape(a.shape, b.shape), lambda at: operation(element(a, at), element(b, at)))


def innermost(a: Position, b: Position) -> tuple[int, int]:
    """Extents of both operands in the innermost loop.

    Going outwards from the last axis, an axis joins the loop when both operands have equal extents in it and in the loop, or when the
    same operand has 1 in both.
    """
    rank = max(len(a), len(b))
    loop_a = loop_b = 1
    for step, (next_a, next_b) in enumerate(zip(aligned(a, rank)[::-1], aligned(b, rank)[::-1], strict=True)):
        equal = loop_a == loop_b and next_a == next_b
        if step and not (equal or loop_a == next_a == 1 or loop_b == next_b == 1):
            break
        loop_a, loop_b = loop_a * next_a, loop_b * next_b
    return loop_a, loop_b
