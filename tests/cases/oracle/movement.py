"""Operators that copy values to other places (runtime spec 3.13). Exponents are not looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.cases.oracle.node import Array, Node, Position, oracle


def replaced(at: Sequence[int], axis: int, place: int) -> Position:
    """The position with another index on one axis."""
    return (*at[:axis], place, *at[axis + 1 :])


@oracle("Concat")
def concat(node: Node) -> Array:
    parts = [node.x(index) for index in range(len(node.inputs))]
    rank = len(parts[0].shape)
    axis = node.attributes.get("axis", 0) % rank
    owners = [(part, place) for part in parts for place in range(part.shape[axis])]

    def element(at: Position) -> object:
        part, place = owners[at[axis]]
        return part[replaced(at, axis, place)]

    return Array.build(replaced(parts[0].shape, axis, len(owners)), element)


@oracle("Split")
def split(node: Node) -> list[Array | None]:
    """Without input 1 num_outputs is the length of a part, not their number."""
    source = node.x()
    axis = node.attributes.get("axis", 0) % len(source.shape)
    length = source.shape[axis]
    if node.has(1):
        sizes = list(node.x(1).values)
    else:
        part = node.attributes["num_outputs"]
        sizes = [part] * (length // part)
    parts: list[Array | None] = []
    start = 0
    for size in sizes:
        parts.append(
            Array.build(replaced(source.shape, axis, size), lambda at, first=start: source[replaced(at, axis, first + at[axis])])
        )
        start += size
    return parts


@oracle("Slice")
def slice_(node: Node) -> Array:
    """As ONNX has it: ends are exclusive, and clipped to the axis."""
    source = node.x()
    rank = len(source.shape)
    starts, ends = node.x(1).values, node.x(2).values
    axes = node.x(3).values if node.has(3) else range(len(starts))
    steps = node.x(4).values if node.has(4) else [1] * len(starts)
    kept = [list(range(length)) for length in source.shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        kept[axis % rank] = taken(source.shape[axis % rank], start, end, step)
    return Array.build([len(places) for places in kept], lambda at: source[[kept[axis][i] for axis, i in enumerate(at)]])


def taken(length: int, start: int, end: int, step: int) -> list[int]:
    """The places on an axis, in their new order."""
    start = start + length if start < 0 else start
    end = end + length if end < 0 else end
    result, place = [], min(start, length - 1) if step < 0 else max(start, 0)
    while 0 <= place < length and (place < end if step > 0 else place > end):
        result.append(place)
        place += step
    return result


@oracle("Pad")
def pad(node: Node) -> Array:
    source, rank = node.x(), len(node.x().shape)
    pads, mode = node.x(1).values, node.attributes.get("mode", "constant")
    filling = node.x(2).values[0] if node.has(2) and node.x(2).size else 0
    shape = [pads[axis] + length + pads[axis + rank] for axis, length in enumerate(source.shape)]

    def element(at: Position) -> object:
        own = [place - pads[axis] for axis, place in enumerate(at)]
        if mode == "edge":
            own = [min(max(place, 0), length - 1) for place, length in zip(own, source.shape, strict=True)]
        elif mode == "reflect":
            own = [mirrored(place, length) for place, length in zip(own, source.shape, strict=True)]
        elif any(not 0 <= place < length for place, length in zip(own, source.shape, strict=True)):
            return filling
        return source[own]

    return Array.build(shape, element)


def mirrored(place: int, length: int) -> int:
    """Without the border itself."""
    if place < 0:
        return -place
    return place if place < length else 2 * (length - 1) - place


@oracle("Transpose")
def transpose(node: Node) -> Array:
    source, rank = node.x(), len(node.x().shape)
    perm = [axis % rank for axis in node.attributes.get("perm", []) or reversed(range(rank))]

    def element(at: Position) -> object:
        own = [0] * rank
        for place, axis in zip(at, perm, strict=True):
            own[axis] = place
        return source[own]

    return Array.build([source.shape[axis] for axis in perm], element)


@oracle("Gather")
def gather(node: Node) -> Array:
    source, indices = node.x(), node.x(1)
    axis, depth = node.attributes.get("axis", 0) % len(source.shape), len(indices.shape)

    def element(at: Position) -> object:
        return source[(*at[:axis], indices[at[axis : axis + depth]], *at[axis + depth :])]

    return Array.build((*source.shape[:axis], *indices.shape, *source.shape[axis + 1 :]), element)


@oracle("ReverseSequence")
def reverse_sequence(node: Node) -> Array:
    """Two floats are swapped through an integer: the one that goes to the back loses its fraction."""
    source, lengths = node.x(), node.x(1).values
    batch, time = node.attributes.get("batch_axis", 1), node.attributes.get("time_axis", 0)

    def element(at: Position) -> object:
        length = lengths[at[batch]]
        if at[time] >= length:
            return source[at]
        origin = length - 1 - at[time]
        value = source[replaced(at, time, origin)]
        return float(math.trunc(value)) if source.dtype == "float32" and origin < at[time] else value

    return Array.build(source.shape, element)


@oracle("StreamingCache")
def streaming_cache(node: Node) -> Array:
    """The last window - 1 frames of the runs before, zeros at first, and then the new ones."""
    source, window = node.x(), node.attributes.get("window_size", 1)
    axis = node.attributes.get("frame_axis", 1) % len(source.shape)
    size = source.size // source.shape[axis]
    frames = [list(source.values[start : start + size]) for start in range(0, source.size, size)]
    before = node.state.get("frames", [[0] * size for _ in range(window - 1)])
    everything = [*before, *frames]
    node.state["frames"] = everything[len(everything) - (window - 1) :]
    shape = replaced(source.shape, axis, len(everything))
    return Array(shape, [value for frame in everything for value in frame])
