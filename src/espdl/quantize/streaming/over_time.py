"""Operators that look along time, as they are on a chunk: convolutions and poolings, enlarging, pads, parts (quantizer spec 13)."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from espdl.quantize.passes.tools import attribute, constant, input_of, integers, scalar
from espdl.quantize.streaming.conversion import Conversion
from espdl.quantize.streaming.frames import ALWAYS, Frames, Window, snapshot
from espdl.wording import counted

_NOT_SPATIAL = "time is its axis of {}, which it mixes"


def windowed(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """Conv, AveragePool and MaxPool: frames of the runs before come in front, and pads along time go.

    What a Conv sees of the future comes to it as a delay.
    """
    place = _spatial(conversion, node, time)
    kernel, pads = attribute(node, "kernel_shape"), list(attribute(node, "pads"))
    reach = (kernel[place] - 1) * attribute(node, "dilations", [1] * len(kernel))[place]
    stride = attribute(node, "strides")[place]
    _require_multiple(conversion, node, time, stride)
    history, result = time.windowed(reach, stride, pads[place], node.op_type != "MaxPool")
    conversion.with_history(node, history, time)
    pads[place] = pads[place + len(kernel)] = 0
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    whole = conversion.whole(node.outputs[0])[time.axis]
    if time.end >= conversion.whole(node.inputs[0])[time.axis] > 0 and result.end < whole:
        conversion.note(
            f"{node.op_type} {node.name!r} looks ahead: the stream lags behind it by {counted(int(whole - result.end), 'frame')}, "
            f"and the last frames of a whole run, made from pads behind its end, never come"
        )
    conversion.done(node, result)


def insert_zeros(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """The zeros behind a chunk's last frame are those before the next chunk's first."""
    place = _spatial(conversion, node, time)
    strides, padding = attribute(node, "stride"), list(attribute(node, "output_padding", [0] * len(attribute(node, "stride"))))
    padding[place] = strides[place] - 1
    node.attributes["output_padding"] = ir.AttrInt64s("output_padding", padding)
    conversion.done(node, time.enlarged(strides[place]).carried())


def depth_to_space(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    _spatial(conversion, node, time)
    conversion.done(node, time.enlarged(attribute(node, "blocksize")).carried())


def space_to_depth(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    _spatial(conversion, node, time)
    block = attribute(node, "blocksize")
    _require_multiple(conversion, node, time, block)
    history, result = time.windowed(block - 1, block, 0)
    if history > 0:  # whole blocks: the last window ends with a frame before the last
        more = history
        time = conversion.delayed(node, 0, time, more)
        history, result = time.windowed(block - 1, block, 0)
    conversion.done(node, result)


def resize(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """Frames stay what they are, or each is repeated."""
    before, after = conversion.whole(node.inputs[0])[time.axis], conversion.whole(node.outputs[0])[time.axis]
    if before == after:
        conversion.done(node, time.computed())
        return
    nearest = attribute(node, "mode", "nearest") == "nearest" and attribute(node, "nearest_mode") == "floor"
    if after % before or not nearest or attribute(node, "coordinate_transformation_mode") != "asymmetric":
        conversion.refuse(
            node, f"it makes {after} frames from {before}, and what is between frames of two runs", "repeat frames (mode nearest)"
        )
    conversion.done(node, time.enlarged(after // before).carried())


def pad(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """Pads along time only say which frame is the first."""
    amounts, axes = integers(input_of(node, 1)), integers(input_of(node, 3))
    rank = len(conversion.whole(node.inputs[0]))
    named = [axis % rank for axis in axes] if axes is not None else list(range(rank))
    if amounts is None or len(amounts) != 2 * len(named):
        conversion.refuse(node, "its pads are no constants", "export the network with fixed sizes")
    if time.axis not in named:
        conversion.done(node, time.computed() if scalar(input_of(node, 2)) else time.carried())
        return
    place = named.index(time.axis)
    before, others = amounts[place], [*amounts]
    others[place] = others[place + len(named)] = 0
    value = input_of(node, 2)
    plain = attribute(node, "mode", "constant") == "constant" and (value is None or scalar(value) == 0.0)
    result = time.moved(-before)
    if not plain or before < 0 or time.first != ALWAYS:
        result = result.computed()
    if not plain:
        result = replace(result, first=max(result.first, before))
    if any(others):
        conversion.constant_input(node, 1, others, "int64")
        conversion.done(node, result)
    else:
        conversion.bypass(node, result)


def part(conversion: Conversion, node: ir.Node, time: Frames) -> None:
    """Slice: along time it only says which frame is the first, or takes every second one, and so on."""
    starts, ends, steps, places = _slice(conversion, node)
    if time.axis not in places:
        conversion.done(node, time.carried())
        return
    place, whole = places.index(time.axis), conversion.whole(node.inputs[0])[time.axis]
    begin, stop, step = range(whole)[starts[place] : ends[place] : steps[place]].start, ends[place], steps[place]
    if step < 0:
        conversion.refuse(node, "it turns time around", "leave it to the program around the network")
    if begin and min(stop, whole) == whole:
        conversion.mark_tail(node)
    _require_multiple(conversion, node, time, step)
    history, result = time.windowed(0, step, -begin)
    starts[place], ends[place] = -history, time.count
    if step == 1:
        result = time.moved(begin).carried()
    if step == 1 and len(places) == 1:
        conversion.bypass(node, result)
        return
    conversion.constant_input(node, 1, starts, "int64")
    conversion.constant_input(node, 2, ends, "int64")
    conversion.done(node, result)


def part_of_window(conversion: Conversion, node: ir.Node, time: Window) -> None:
    """Slice of the last frames, counted from their end."""
    starts, ends, steps, places = _slice(conversion, node)
    if time.axis not in places:
        conversion.done(node, time)
        return
    place, missing = places.index(time.axis), time.whole - time.count
    taken = range(time.whole)[starts[place] : ends[place] : steps[place]]
    if min(taken, default=0) < missing:
        conversion.refuse(
            node,
            f"it takes frame {min(taken)} of {time.whole}, and the table gives it the last {time.count}",
            f"a window larger by {missing - min(taken)}",
        )
    starts[place], ends[place] = taken.start - missing, taken.stop - missing
    if ends[place] < 0:
        ends[place] = -time.count - 1
    conversion.constant_input(node, 1, starts, "int64")
    conversion.constant_input(node, 2, ends, "int64")
    conversion.done(node, snapshot([time]))


def gather_of_window(conversion: Conversion, node: ir.Node, time: Window) -> None:
    """Gather of single frames, counted from the end."""
    indices = constant(input_of(node, 1))
    missing = time.whole - time.count
    if indices is None or attribute(node, "axis", 0) % len(conversion.whole(node.inputs[0])) != time.axis:
        conversion.refuse_mixing(node, 0, "it picks by computed positions")
    counted_from_front = indices % time.whole
    if counted_from_front.min() < missing:
        conversion.refuse(
            node,
            f"it takes frame {counted_from_front.min()} of {time.whole}, and the table gives it the last {time.count}",
            f"a window larger by {missing - counted_from_front.min()}",
        )
    conversion.constant_input(node, 1, counted_from_front - missing, indices.dtype)
    conversion.done(node, snapshot([time]))


def _slice(conversion: Conversion, node: ir.Node) -> tuple[list[int], list[int], list[int], list[int]]:
    """Starts, ends, steps and axes."""
    starts, ends = integers(input_of(node, 1)), integers(input_of(node, 2))
    if starts is None or ends is None:
        conversion.refuse(node, "its bounds are no constants", "export the network with fixed sizes")
    rank = len(conversion.whole(node.inputs[0]))
    places = [axis % rank for axis in integers(input_of(node, 3)) or range(len(starts))]
    return starts, ends, integers(input_of(node, 4)) or [1] * len(starts), places


def _spatial(conversion: Conversion, node: ir.Node, time: Frames) -> int:
    """The time axis among the spatial ones."""
    if time.axis < 2:
        conversion.refuse_mixing(node, 0, _NOT_SPATIAL.format("channels" if time.axis else "samples"))
    return time.axis - 2


def _require_multiple(conversion: Conversion, node: ir.Node, time: Frames, stride: int) -> None:
    if time.count % stride:
        factor = next(n for n in range(2, stride + 1) if time.count * n % stride == 0)
        conversion.refuse(
            node,
            f"it makes one frame from {stride}, and a chunk has {time.count} here",
            f"chunks that are {factor} times as long: another streaming_input_shape",
        )
