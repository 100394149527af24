"""``Conversion``: walks a quantized network once and makes of it the network for one chunk (quantizer spec 13).

What the rules of :mod:`espdl.quantize.streaming.rules` share: the frames of every tensor, and the nodes that they put in between.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import onnx_ir as ir

from espdl.errors import EspdlError
from espdl.quantize.graph import QuantGraph, QuantInfo
from espdl.quantize.passes.infer import describe
from espdl.quantize.passes.tools import Editor, name_of, shape_of
from espdl.quantize.streaming.frames import ALWAYS, Frames, Time, Window
from espdl.quantize.streaming.table import Entry
from espdl.wording import counted


class Conversion:
    """The network of one chunk, in the making.

    Attributes:
        graph: quantized; its network is a copy, every exponent is that of the whole network.
        times: what each tensor is in a stream, by name.
        warnings: what a user should know, one sentence each.
    """

    def __init__(self, graph: QuantGraph, chunks: Mapping[str, Sequence[int]], entries: Sequence[Entry]) -> None:
        self.graph = graph
        self.edit = Editor(graph.model)
        self.times: dict[str, Time] = {}
        self.warnings: list[str] = []
        self._entries = list(entries)
        self._used: set[Entry] = set()
        self._caches: dict[tuple[str, int], ir.Value] = {}
        self._bypassed: list[ir.Node] = []
        self._tails: dict[str, tuple[str, str]] = {}
        self._whole = {value.name or "": shape_of(value) or () for value in self._values()}
        for value in graph.model.graph.inputs:
            if (chunk := chunks.get(value.name or "")) is not None:
                whole = self.whole(value)
                axis = next(i for i, (old, new) in enumerate(zip(whole, chunk, strict=True)) if old != new)
                self._set(value, Frames(axis, chunk[axis], 0, ALWAYS, whole[axis]))

    def _values(self) -> list[ir.Value]:
        network = self.graph.model.graph
        return [*network.inputs, *(value for node in network for value in node.outputs)]

    # Tensors

    def whole(self, value: ir.Value | None) -> tuple[int, ...]:
        """The shape of a tensor in the whole network."""
        name = value.name or "" if value is not None else ""
        return self._whole[name] if name in self._whole else shape_of(value) or ()

    def time(self, value: ir.Value | None) -> Time:
        return self.times.get(value.name or "") if value is not None else None

    def _set(self, value: ir.Value, time: Time) -> None:
        self.times[value.name or ""] = time
        if isinstance(time, (Frames, Window)):
            shape = list(self.whole(value))
            shape[time.axis] = time.count
            value.shape = ir.Shape(shape)

    def done(self, node: ir.Node, *times: Time) -> None:
        """Says what the results of a node are; one for all, or one each."""
        for index, value in enumerate(node.outputs):
            time = times[min(index, len(times) - 1)]
            if isinstance(time, Frames) and node.op_type != "InsertZeros" and value.name:  # which are zero behind their end, too
                time = replace(time, end=min(time.end, self.whole(value)[time.axis]))
            self._set(value, time)

    # Nodes in between

    def _insert(
        self, place: ir.Node, op_type: str, source: ir.Value, name: str, frames: int, axis: int, **parts: Any
    ) -> ir.Value:
        """A node before ``place`` that moves frames of ``source``; its result has ``frames`` and the representation of its source."""
        result = self.edit.before(place, op_type, [source, *parts.get("constants", ())], parts.get("attributes"), name=name)
        node = result.producer()
        assert node is not None
        shape = list(shape_of(source) or ())
        shape[axis] = frames
        result.shape, result.type = ir.Shape(shape), source.type
        known = self.graph.output_info(source)
        self.graph.bits[node.name or ""] = known.bits if known is not None else 0
        self.graph.platforms[node.name or ""] = (
            self.graph.platforms.get(place.name or "", "FP32") if known is not None else "FP32"
        )
        if known is not None:
            self.graph.consumed[node.name or "", 0] = _same(known, source)
            self.graph.produced[result.name or ""] = _same(known, result)
        return result

    def cache(self, place: ir.Node, source: ir.Value, axis: int, kept: int) -> ir.Value:
        """``source`` behind the last ``kept`` frames of the runs before; one cache for all that need the same."""
        key = (source.name or "", kept)
        if key not in self._caches:
            count = (shape_of(source) or ())[axis] + kept
            attributes = {"window_size": kept + 1, "frame_axis": axis}
            self._caches[key] = self._insert(
                place, "StreamingCache", source, f"{source.name}_SCache", count, axis, attributes=attributes
            )
        return self._caches[key]

    def cut(self, place: ir.Node, source: ir.Value, axis: int, start: int, end: int) -> ir.Value:
        """Frames ``start`` to ``end`` of a run."""
        lists = (("starts", start), ("ends", end), ("axes", axis), ("steps", 1))
        constants = [self.edit.constant(f"{source.name}_{name}", np.array([number], np.int64)) for name, number in lists]
        return self._insert(place, "Slice", source, f"{source.name}_frames", end - start, axis, constants=constants)

    def with_history(self, node: ir.Node, history: int, time: Frames) -> None:
        """Lets input 0 of a node have ``history`` frames before its own, or begin with a later one where negative."""
        source = node.inputs[0]
        assert source is not None
        if history > 0:
            node.replace_input_with(0, self.cache(node, source, time.axis, history))
        elif history < 0:
            node.replace_input_with(0, self.cut(node, source, time.axis, -history, time.count))

    def delayed(self, node: ir.Node, index: int, time: Frames, more: int) -> Frames:
        """Delays input ``index`` of a node by ``more`` frames. What comes first are zeros, as pads are."""
        source = node.inputs[index]
        if more and source is not None:
            held = self.cache(node, source, time.axis, more)
            node.replace_input_with(index, self.cut(node, held, time.axis, 0, time.count))
        return Frames(time.axis, time.count, time.delay + more, time.first, time.end)

    def constant_input(self, node: ir.Node, index: int, array: Any, dtype: Any = None) -> None:
        """Gives a node another constant."""
        name = name_of(node.inputs[index])
        node.replace_input_with(index, self.edit.constant(f"{name}_chunk", np.asarray(array, dtype)))

    def bypass(self, node: ir.Node, time: Frames) -> None:
        """Lets the readers of a node read its input, once the walk is over."""
        self.done(node, time)
        self._bypassed.append(node)

    # The table of a user

    def windows(self, node: ir.Node) -> dict[int, int]:
        """What the table says of a node's inputs: the window by index."""
        found: dict[int, int] = {}
        for index, value in enumerate(node.inputs):
            for entry in self._entries:
                if value is not None and entry.variable == value.name and entry.operator in ("", node.name):
                    self._used.add(entry)
                    self._check_axis(entry, value)
                    found[index] = max(found.get(index, 1), entry.window)
        return found

    def _check_axis(self, entry: Entry, value: ir.Value) -> None:
        time, rank = self.time(value), len(self.whole(value))
        if not isinstance(time, (Frames, Window)):
            raise EspdlError(f"tensor {entry.variable!r} has no time axis", where="streaming_table", hint="leave the entry out")
        stored = {time.axis, [0, *range(2, rank), 1].index(time.axis) if rank in (3, 4) else time.axis}
        if entry.frame_axis % rank not in stored and entry.frame_axis != 1:  # 1 is the default: nothing was said
            raise EspdlError(
                f"frame_axis {entry.frame_axis} of {entry.variable!r}",
                where="streaming_table",
                why=f"its time axis is {time.axis} in the ONNX network",
            )

    def remembered(self, node: ir.Node, index: int, time: Frames, window: int) -> Window:
        """Puts the cache of a table's entry before input ``index``: it then holds the last frames, or fewer of a long chunk."""
        source = node.inputs[index]
        assert source is not None
        whole = self.whole(source)[time.axis]
        held = self.cache(node, source, time.axis, window - 1) if window > 1 else source
        count = time.count + window - 1
        if count > whole:
            held, count = self.cut(node, held, time.axis, count - whole, count), whole
        node.replace_input_with(index, held)
        if count == whole:
            return Window(time.axis, count, whole, time.first <= 0 and time.end >= whole)
        return Window(time.axis, count, whole, time.first <= whole - count and time.end >= whole)

    # Refusals

    def refuse(self, node: ir.Node, why: str, hint: str) -> NoReturn:
        raise EspdlError(
            f"{node.op_type} {node.name!r} cannot be streamed", where=describe(node).partition(", ")[2], why=why, hint=hint
        )

    def refuse_mixing(self, node: ir.Node, index: int, why: str) -> NoReturn:
        """Refuses an operator that needs all frames at once, with the entry of a table that gives them."""
        value, reader = self._origin(node, index)
        time = self.time(value)
        name, operator = value.name or "", reader.name or ""
        if isinstance(time, Window):
            short = time.whole - time.count
            self.refuse(node, f"{why}; the table gives it {time.count} of {time.whole} frames", f"a window larger by {short}")
        assert isinstance(time, Frames)
        tail = self._tails.get(reader.outputs[0].name or "")
        frames = self.whole(reader.outputs[0])[time.axis] if tail else self.whole(value)[time.axis]
        window = max(frames - time.count + 1, 1)
        entry = f"streaming_table=[insert_streaming_cache_on_var({name!r}, {window}, {operator!r})]"
        self.refuse(
            node, why, f"{entry}: each run then sees the last {counted(frames, 'frame')}; or end the network before this node"
        )

    def _origin(self, node: ir.Node, index: int) -> tuple[ir.Value, ir.Node]:
        """The tensor and reader that a table's entry is best for: the Slice that took the last frames, if there is one before."""
        value, reader = node.inputs[index], node
        while value is not None and (writer := value.producer()) is not None and len(writer.inputs):
            if (value.name or "") in self._tails and writer.inputs[0] is not None:
                return writer.inputs[0], writer
            if not isinstance(self.time(writer.inputs[0]), Frames) or writer.op_type in ("Conv", "AveragePool", "MaxPool"):
                break
            value = writer.inputs[0]
        chosen = node.inputs[index]
        assert chosen is not None
        return chosen, reader

    def mark_tail(self, node: ir.Node) -> None:
        """Remembers that a node takes the last frames of all."""
        self._tails[node.outputs[0].name or ""] = (name_of(node.inputs[0]), node.name or "")

    # The end

    def finish(self) -> None:
        """Removes what is bypassed, and checks that the table was used."""
        for node in self._bypassed:
            source, output = node.inputs[0], node.outputs[0]
            assert source is not None
            places = [self.graph.output_info(source), self.graph.input_info(node, 0), self.graph.output_info(output)]
            formats = {(info.bits, info.exponent) if info is not None else None for info in places}
            if output.is_graph_output() or len(formats) > 1:
                kept = self.edit.replace(node, "Identity", [source], name=node.name)
                kept.outputs[0].shape = ir.Shape(shape_of(source) or ())
            else:
                ir.convenience.replace_all_uses_with(output, source)
                self.graph.model.graph.remove(node, safe=True)
        for entry in self._entries:
            if entry not in self._used:
                reader = f"operator {entry.operator!r} does not read it" if entry.operator else "no operator reads it"
                raise EspdlError(f"the entry for {entry.variable!r} has no effect", where="streaming_table", why=reader)

    def note(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def _same(known: QuantInfo, value: ir.Value) -> QuantInfo:
    info = QuantInfo(value.name or "", known.bits)
    info.same_as(known)
    return info


def copied(graph: QuantGraph) -> QuantGraph:
    """A graph of its own with a network of its own; representations are shared, and must not change."""
    result = copy.copy(graph)
    result.model = graph.model.clone()
    result.bits, result.platforms = dict(graph.bits), dict(graph.platforms)
    result.produced, result.consumed = dict(graph.produced), dict(graph.consumed)
    result.narrow, result.warnings, result.measures = set(graph.narrow), list(graph.warnings), list(graph.measures)
    result.reference = None
    return result
