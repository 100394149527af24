"""``StreamingModel``: the file that runs a quantized network on a stream, chunk by chunk, made from the graph of the whole network."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from espdl.chips import Chip
from espdl.dl.model import Model
from espdl.dl.streaming import STREAMING_KEY, StreamingSession
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.quantize.dataloader import Sample
from espdl.quantize.export import ExportOptions, build_record, file_bytes
from espdl.quantize.file_model import FileModel
from espdl.quantize.graph import QuantGraph
from espdl.quantize.layout import Order
from espdl.quantize.lower import Lowered
from espdl.quantize.streaming.conversion import Conversion, copied
from espdl.quantize.streaming.frames import Frames, Snapshot, Time
from espdl.quantize.streaming.rules import convert_node
from espdl.quantize.streaming.table import located, read_shapes, read_table
from espdl.quantize.test_values import with_test_values

CustomPass: TypeAlias = Callable[[QuantGraph], QuantGraph | None]


class StreamingGraphPass:
    """A change of the network before it is made into one for chunks; subclasses implement :meth:`apply`."""

    name = ""

    def apply(self, graph: QuantGraph) -> QuantGraph | None:
        """Changes ``graph``, a copy whose tensors have the shapes of a whole run, or returns another one."""
        raise EspdlError(f"streaming pass {type(self).__name__} does not say what it changes", hint="override apply")

    def __call__(self, graph: QuantGraph) -> QuantGraph | None:
        return self.apply(graph)


@dataclass(frozen=True)
class StreamingOptions:
    """What to stream, and how (quantizer spec 1.1).

    Attributes:
        input_shape: shape of a chunk in the order of the ONNX network: a list for the only input, or lists by input name. Exactly one
            axis, time, differs from the network's.
        table: windows by hand: entries of ``insert_streaming_cache_on_var``.
        custom_passes: one or several callables that change the graph first; they return it, another one, or None.
    """

    input_shape: Sequence[int] | Mapping[str, Sequence[int]] | None
    table: Any = None
    custom_passes: Any = None


@dataclass(repr=False)
class StreamingModel(FileModel):
    """A quantized network for chunks, ready to be saved or run.

    Attributes:
        warnings: what a user should know, one sentence each.
    """

    warnings: list[str]

    def session(self, **options: Any) -> StreamingSession:
        """The file, ready for chunks of any length; keyword arguments as of :class:`espdl.dl.Model`."""
        return StreamingSession(self.model(**options))


def streaming_model(
    graph: QuantGraph,
    options: StreamingOptions,
    export: ExportOptions,
    orders: Mapping[str, Order],
    sample: Sample | None = None,
    test_output_names: Iterable[str] | None = None,
) -> StreamingModel:
    """Makes the file for chunks from a quantized network.

    Nothing is calibrated again: weights, exponents and tables are those of the whole network, so that a stream gives its very integers.

    Args:
        graph: of the whole network, calibrated; it is not changed.
        options: what a chunk is.
        export: as for the whole network.
        orders: axis orders of the outputs in the file of the whole network, by name.
        sample: a whole input whose first chunk is embedded with the outputs of the first run; None embeds nothing.
        test_output_names: tensors to embed instead of the outputs.

    Raises:
        EspdlError: naming the node that cannot be streamed, why, and what can be done.
    """
    chunk = copied(graph)
    for custom in _passes(options.custom_passes):
        changed = custom(chunk)
        if changed is not None and not isinstance(changed, QuantGraph):
            raise EspdlError(f"a streaming pass returned {type(changed).__name__}", hint="return the graph, or nothing")
        chunk = changed or chunk
        for node in chunk.model.graph:
            if node.name not in chunk.bits:
                raise EspdlError(
                    f"a streaming pass added {node.op_type} {node.name!r}",
                    why="nothing is known of its width and exponents",
                    hint="set graph.bits, graph.consumed and graph.produced for it, as of espdl.quantize.graph.QuantGraph",
                )
    conversion = _converted(chunk, options)
    chunk.warnings = [*chunk.warnings, *conversion.warnings]
    ordered = replace(export.lowering, output_orders=orders)
    record, lowered = build_record(chunk, replace(export, lowering=ordered))
    facts = json.dumps(_facts(conversion, lowered), separators=(",", ":"))
    record = replace(record, metadata_props={**record.metadata_props, STREAMING_KEY: facts})
    data = file_bytes(record)
    _check_shapes(data, record, chunk)
    if sample is not None:
        names = list(test_output_names) if test_output_names is not None else None
        first = {name: _first_chunk(array, conversion.times.get(name)) for name, array in sample.items()}
        record = with_test_values(record, data, lowered, chunk.chip, first, names)
        data = file_bytes(record)
    return StreamingModel(chunk, record, data, lowered, list(conversion.warnings))


def require_streamable(model: ir.Model, chip: Chip, options: StreamingOptions) -> None:
    """Raises what :func:`streaming_model` would for a prepared network, before it is quantized; custom passes need a quantized one."""
    if options.custom_passes is None:
        graph = QuantGraph(model.clone(), chip, {node.name or "": 0 for node in model.graph})
        _converted(graph, options)


def _converted(graph: QuantGraph, options: StreamingOptions) -> Conversion:
    """Makes the network of a graph that of one chunk."""
    shapes = read_shapes(graph.model, options.input_shape)
    conversion = Conversion(graph, shapes, located(read_table(options.table), graph.model))
    for node in tuple(graph.model.graph):
        convert_node(conversion, node)
    conversion.finish()
    return conversion


def _passes(given: Any) -> list[CustomPass]:
    passes = [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
    for item in passes:
        if not callable(item) or isinstance(item, type):
            raise EspdlError(
                f"a streaming pass cannot be {type(item).__name__}",
                hint="a callable that takes the graph",
            )
    return passes


def _first_chunk(array: Any, time: Time) -> Any:
    return np.take(array, range(time.count), axis=time.axis) if isinstance(time, Frames) else array


def _facts(conversion: Conversion, lowered: Lowered) -> dict[str, Any]:
    """What a session must know: time axes in the file's order, frames in a run, and how they follow those of a whole run."""
    network = conversion.graph.model.graph
    facts: dict[str, Any] = {"inputs": {}, "outputs": {}}
    for value in network.inputs:
        time = conversion.times.get(value.name or "")
        if isinstance(time, Frames):
            axis = lowered.stored[value.name or ""].order.index(time.axis)
            facts["inputs"][value.name] = {"axis": axis, "frames": time.count}
    for value in network.outputs:
        time = conversion.times.get(value.name or "")
        if isinstance(time, Frames):
            length = conversion.whole(value)[time.axis]
            never = time.first == math.inf
            facts["outputs"][value.name] = {
                "axis": lowered.stored[value.name or ""].order.index(time.axis),
                "frames": time.count,
                "delay": time.delay,
                "first": None if never else max(int(time.first), 0) if math.isfinite(time.first) else 0,
                "ahead": max(length - int(min(time.end, length)), 0),
            }
        else:
            facts["outputs"][value.name] = {"exact": not isinstance(time, Snapshot) or time.exact}
    return facts


def _check_shapes(data: bytes, record: records.Model, graph: QuantGraph) -> None:
    """Lets the runtime say the shape of every tensor, and compares."""
    model = Model(data, target=graph.chip)
    for info in record.graph.value_info:
        shape = model.get_intermediate(info.name).shape
        if info.shape is not None and list(info.shape) != shape:
            raise EspdlError(
                f"tensor {info.name!r} would have shape {shape} in a run, not {list(info.shape)}",
                hint="enter the tensor before it in streaming_table",
            )
