"""Operators that treat every frame for itself, or must: element by element, along other axes, views (quantizer spec 13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.passes.tools import attribute, constant, input_of, integers
from espdl.quantize.streaming.conversion import Conversion
from espdl.quantize.streaming.frames import NEVER, Frames, Snapshot, Window, together
from espdl.wording import counted


def one_by_one(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """Every element from the one in its place."""
    broadcast(conversion, node, time)


def broadcast(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """Elements of several tensors: those with frames are brought to one delay, constants to one frame."""
    rank = len(conversion.whole(node.outputs[0]))
    _frame_by_frame(conversion, node, [rank - len(conversion.whole(value)) for value in node.inputs])


def concat(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    if attribute(node, "axis") % len(conversion.whole(node.outputs[0])) == time.axis:
        conversion.refuse_mixing(node, node.inputs.index(_first(conversion, node)), "it puts frames behind frames")
    _frame_by_frame(conversion, node, [0] * len(node.inputs), stretch=True)


def _first(conversion: Conversion, node: ir.Node) -> ir.Value | None:
    return next(value for value in node.inputs if isinstance(conversion.time(value), Frames))


def _frame_by_frame(conversion: Conversion, node: ir.Node, offsets: Sequence[int], stretch: bool = False) -> None:
    """Inputs whose axis a is axis ``a + offset`` of the result. ``stretch``: a constant must have all frames of a chunk."""
    found = {i: time for i, value in enumerate(node.inputs) if isinstance(time := conversion.time(value), Frames)}
    axes = {time.axis + offsets[index] for index, time in found.items()}
    counts = {time.count for time in found.values()}
    if len(axes) > 1 or len(counts) > 1:
        _refuse_branches(conversion, node, found, axes)
    axis = next(iter(axes))
    latest = max(time.delay for time in found.values())
    for index, time in found.items():
        found[index] = conversion.delayed(node, index, time, latest - time.delay)
    result = together(list(found.values()), axis)
    for index, value in enumerate(node.inputs):
        shape, place = conversion.whole(value), axis - offsets[index]
        if value is None or index in found or place < 0 or place >= len(shape) or (shape[place] == 1 and not stretch):
            continue
        array = constant(value)
        if array is None:
            conversion.refuse(node, f"its input {value.name!r} has {shape[place]} frames in every run", "feed it in chunks, too")
        begin, end = _steady(array, place)
        if end - begin < min(2, array.shape[place]):
            conversion.refuse(
                node,
                f"its constant {value.name!r} is another one for every frame",
                "leave positions out of the network, or add them to its input in the program around it",
            )
        one = np.take(array, [begin], axis=place)
        conversion.constant_input(node, index, np.repeat(one, result.count, axis=place) if stretch else one)
        first, last = max(result.first, begin) if begin else result.first, min(result.end, end)
        result = replace(result, first=first, end=last if end < array.shape[place] else result.end)
    if any(isinstance(conversion.time(value), (Snapshot, Window)) for value in node.inputs):
        conversion.note(
            f"{node.op_type} {node.name!r} meets frames with what was made from the last frames: a whole run takes all frames for that"
        )
        result = replace(result, first=NEVER)
    conversion.done(node, result)


def _steady(array: NDArray, axis: int) -> tuple[int, int]:
    """The longest run of equal frames."""
    rows = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
    changes = [0, *(np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1).tolist(), len(rows)]
    return max(pairwise(changes), key=lambda part: part[1] - part[0])


def _refuse_branches(conversion: Conversion, node: ir.Node, found: dict[int, Frames], axes: set[int]) -> None:
    branches = ", ".join(
        f"{node.inputs[index].name!r} {counted(time.count, 'frame')}"  # type: ignore[union-attr]  # it has a time
        for index, time in found.items()
    )
    if len(axes) > 1:
        conversion.refuse(node, f"time lies along different axes of its inputs: {branches}", "transpose one of them")
    conversion.refuse(node, f"its inputs have different numbers of frames in a run: {branches}", "give branches equal strides")


def along(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """Softmax, LogSoftmax and LpNormalization along one axis, norms from one axis to the last."""
    rank = len(conversion.whole(node.inputs[0]))
    axis = attribute(node, "axis", -1) % rank
    norm = node.op_type in ("LayerNormalization", "RMSNormalization")
    if time.axis == axis or (norm and time.axis > axis):
        conversion.refuse_mixing(node, 0, "it works along time")
    conversion.done(node, time.computed())


def reduce(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    rank = len(conversion.whole(node.inputs[0]))
    axes = integers(input_of(node, 1))
    named = {axis % rank for axis in axes} if axes else set(range(rank))
    if time.axis in named:
        conversion.refuse_mixing(node, 0, "it works along time")
    gone = 0 if attribute(node, "keepdims", 1) else sum(axis < time.axis for axis in named)
    conversion.done(node, replace(time.computed(), axis=time.axis - gone))


def global_pool(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    if time.axis >= 2:
        conversion.refuse_mixing(node, 0, "it works along time")
    conversion.done(node, time.computed())


def split(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    if attribute(node, "axis", 0) % len(conversion.whole(node.inputs[0])) == time.axis:
        conversion.refuse_mixing(node, 0, "it divides time")
    conversion.done(node, time.carried())


def gather(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    shape, positions = conversion.whole(node.inputs[0]), conversion.whole(input_of(node, 1))
    axis = attribute(node, "axis", 0) % len(shape)
    if axis == time.axis:
        conversion.refuse_mixing(node, 0, "it picks frames of a whole run")
    moved = len(positions) - 1 if axis < time.axis else 0
    conversion.done(node, replace(time.carried(), axis=time.axis + moved))


def transpose(conversion: Conversion, node: ir.Node, time: Frames | Window) -> None:
    rank = len(conversion.whole(node.inputs[0]))
    order = attribute(node, "perm") or list(reversed(range(rank)))
    axis = [item % rank for item in order].index(time.axis)
    conversion.done(node, replace(time if isinstance(time, Window) else time.carried(), axis=axis))


def view(conversion: Conversion, node: ir.Node, time: Frames | Window) -> None:
    """Reshape, Flatten, Squeeze and Unsqueeze that leave time an axis of its own."""
    before, after = conversion.whole(node.inputs[0]), conversion.whole(node.outputs[0])
    ahead, frames = prod(before[: time.axis]), before[time.axis]
    axis = next((i for i, size in enumerate(after) if size == frames and prod(after[:i]) == ahead), None)
    if frames == 1:  # axes of one element look alike: it is the one with as many others behind it, if there is one
        axis = time.axis - len(before) + len(after) if len(before) == len(after) else None
    if axis is None:
        conversion.refuse_mixing(node, 0, f"it merges time with other axes: {list(before)} becomes {list(after)}")
    if node.op_type == "Reshape":
        shape = list(after)
        shape[axis] = time.count
        conversion.constant_input(node, 1, shape, "int64")
    conversion.done(node, replace(time if isinstance(time, Window) else time.carried(), axis=axis))


def matmul(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """MatMul and Gemm of every frame with the same matrix."""
    first, second = conversion.time(node.inputs[0]), conversion.time(node.inputs[1])
    ranks = [len(conversion.whole(value)) for value in node.inputs[:2]]
    rank = len(conversion.whole(node.outputs[0]))
    for index, item in enumerate((first, second)):
        if isinstance(item, Frames):
            summed = ranks[0] - 1 if index == 0 else max(ranks[1] - 2, 0)
            if item.axis == summed:
                conversion.refuse_mixing(node, index, "it adds up over time")
    if isinstance(first, Frames) and isinstance(second, Frames):
        _frame_by_frame(conversion, node, [rank - size for size in ranks])
        return
    place = 0 if isinstance(first, Frames) else 1
    other = input_of(node, 1 - place)
    axis = time.axis + rank - ranks[place]
    mine, theirs = axis - rank, conversion.whole(other)
    if mine < -2 and len(theirs) >= -mine and theirs[mine] != 1:
        conversion.refuse(node, "its matrix is another one for every frame", "one matrix for all frames")
    result = replace(time.computed(), axis=axis)
    if isinstance(conversion.time(other), (Snapshot, Window)):
        conversion.note(f"{node.op_type} {node.name!r} meets frames with what was made from the last frames")
        result = replace(result, first=NEVER)
    conversion.done(node, result)


def recurrent(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """GRU and LSTM whose states come in from outside; the program, or a session, hands them from run to run."""
    states = [5, 6] if node.op_type == "LSTM" else [5]
    given = [input_of(node, index) for index in states]
    if time.axis != 0 or attribute(node, "layout", 0) or attribute(node, "direction", "forward") != "forward":
        conversion.refuse(node, "it does not go forward over axis 0", "one direction, time first")
    if any(value is None or constant(value) is not None for value in given):
        conversion.refuse(
            node,
            "its state begins with zeros in every run",
            "make the initial state an input and the last state an output of the network, and name them in StreamingSession(states=)",
        )
    computed = time.computed()
    exact = time.delay == 0 and time.first <= 0
    if not exact:
        conversion.note(f"{node.op_type} {node.name!r} has read frames that a whole run does not have: its state stays different")
    conversion.done(node, computed if exact else replace(computed, first=NEVER), Snapshot(exact))
