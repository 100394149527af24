"""What each operator does in a stream, and the walk that asks (quantizer spec 13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from espdl.dl.module.contract import REDUCTIONS, Layout
from espdl.errors import EspdlError
from espdl.quantize.assign import module_of
from espdl.quantize.passes.infer import describe
from espdl.quantize.streaming import by_frame, over_time
from espdl.quantize.streaming.conversion import Conversion
from espdl.quantize.streaming.frames import Frames, Snapshot, Time, Window, snapshot

Rule = Callable[[Conversion, ir.Node, Frames], None]

_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "AveragePool", "MaxPool"), over_time.windowed),
    "InsertZeros": over_time.insert_zeros,
    "DepthToSpace": over_time.depth_to_space,
    "SpaceToDepth": over_time.space_to_depth,
    "Resize": over_time.resize,
    "Pad": over_time.pad,
    "Slice": over_time.part,
    **dict.fromkeys(("Softmax", "LogSoftmax", "LpNormalization", "LayerNormalization", "RMSNormalization"), by_frame.along),
    **dict.fromkeys(REDUCTIONS, by_frame.reduce),
    "GlobalAveragePool": by_frame.global_pool,
    "Split": by_frame.split,
    "Gather": by_frame.gather,
    "Transpose": by_frame.transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), by_frame.view),
    **dict.fromkeys(("MatMul", "Gemm"), by_frame.matmul),
    **dict.fromkeys(("GRU", "LSTM"), by_frame.recurrent),
    "Concat": by_frame.concat,
    "PRelu": by_frame.broadcast,
}
_OVER_TIME = frozenset({"Conv", "AveragePool", "MaxPool"})
_VIEWS = dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), by_frame.view)
_OF_WINDOWS = {"Slice": over_time.part_of_window, "Gather": over_time.gather_of_window, "Transpose": by_frame.transpose, **_VIEWS}
_ANY_LENGTH = frozenset({*REDUCTIONS, "GlobalAveragePool"})
"""Operators that shrink a window of any length to the same shape."""


def rule_of(node: ir.Node) -> Rule | None:
    """How an operator is streamed; None where nothing is known of it."""
    if (rule := _RULES.get(node.op_type)) is not None:
        return rule
    layout = module_of(node).layout.layout
    if layout is Layout.BROADCAST:
        return by_frame.broadcast
    return by_frame.one_by_one if layout is Layout.FOLLOWS_INPUT else None


def convert_node(conversion: Conversion, node: ir.Node) -> None:
    """Makes a node right for a chunk, and says what its results are in a stream.

    Raises:
        EspdlError: naming the node, why it cannot be streamed, and what can be done.
    """
    times = [conversion.time(value) for value in node.inputs]
    for index, window in conversion.windows(node).items():
        time = times[index]
        if isinstance(time, Frames) and window == 1 and rule_of(node) is None and _keeps_frames(conversion, node, time):
            conversion.done(node, time.computed())
            return
        if isinstance(time, Frames) and not _agrees(conversion, node, time, window):
            times[index] = conversion.remembered(node, index, time, window)
    frames = next((time for time in times if isinstance(time, Frames)), None)
    if any(isinstance(time, Window) for time in times):
        _see_windows(conversion, node, times)
    elif frames is None:
        conversion.done(node, snapshot(times) if any(isinstance(time, Snapshot) for time in times) else None)
    elif (rule := rule_of(node)) is not None:
        rule(conversion, node, frames)
    else:
        conversion.refuse_mixing(node, times.index(frames), "it may need all frames at once")


def _agrees(conversion: Conversion, node: ir.Node, time: Frames, window: int) -> bool:
    """Whether an entry of the table says what the rules do by themselves.

    Raises:
        EspdlError: when it gives a convolution or pooling another window than it needs, and not all frames either.
    """
    if window == 1 and node.op_type not in {"Slice", "Gather", *_ANY_LENGTH} and rule_of(node) is not None:
        return True
    if node.op_type not in _OVER_TIME or time.axis < 2:
        return False
    attributes = node.attributes
    place = time.axis - 2
    dilations = attributes["dilations"].as_ints() if "dilations" in attributes else [1, 1]
    reach = (attributes["kernel_shape"].as_ints()[place] - 1) * dilations[place]
    stride, before = attributes["strides"].as_ints()[place], attributes["pads"].as_ints()[place]
    history, _ = time.windowed(reach, stride, before)
    if window - 1 == history:
        return True
    if time.count + window - 1 == conversion.whole(node.inputs[0])[time.axis]:
        return False
    raise EspdlError(
        f"a window of {window} for {node.op_type} {node.name!r}",
        where=describe(node).partition(", ")[2],
        why=f"its kernel needs {max(history, 0) + 1}",
        hint="leave the entry out: it is found by itself",
    )


def _keeps_frames(conversion: Conversion, node: ir.Node, time: Frames) -> bool:
    """Whether every result of a node has as many frames, on the same axis."""
    frames, rank = conversion.whole(node.inputs[0])[time.axis], len(conversion.whole(node.inputs[0]))
    shapes = [conversion.whole(value) for value in node.outputs]
    return all(len(shape) == rank and shape[time.axis] == frames for shape in shapes)


def _see_windows(conversion: Conversion, node: ir.Node, times: Sequence[Time]) -> None:
    """A node that sees the last frames: as in a whole run where they are all, else what can be done with fewer."""
    index, window = next((i, time) for i, time in enumerate(times) if isinstance(time, Window))
    if any(isinstance(time, Frames) for time in times):
        conversion.refuse(
            node,
            f"its input {index} holds the last frames of all, and others the newest",
            "entries in streaming_table for all of them, or for none",
        )
    if all(time.count == time.whole for time in times if isinstance(time, Window)):
        conversion.done(node, snapshot(times))
    elif node.op_type in _OF_WINDOWS:
        _OF_WINDOWS[node.op_type](conversion, node, window)
    elif node.op_type in _ANY_LENGTH:
        conversion.note(f"{node.op_type} {node.name!r} sees the last {window.count} frames, in a whole run {window.whole}")
        conversion.done(node, Snapshot(False))
    elif module_of(node).layout.layout is Layout.FOLLOWS_INPUT:
        conversion.done(node, window)
    else:
        conversion.refuse_mixing(node, index, "it needs all frames")
