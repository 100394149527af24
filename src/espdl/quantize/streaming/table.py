"""What a user says about streaming: input shapes and the table of windows (quantizer spec 1.1, 1.4, 13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import onnx_ir as ir

from espdl.errors import EspdlError
from espdl.quantize.passes.tools import input_shapes_of
from espdl.wording import nearest

_FIELDS = {"window_size", "op_name", "frame_axis"}


@dataclass(frozen=True)
class Entry:
    """One tensor of which frames are remembered by hand.

    Attributes:
        variable: its name in the network.
        window: frames remembered, plus one; 1 remembers none.
        operator: the only reader that sees them; all readers where empty.
        frame_axis: its time axis in the exported model.
    """

    variable: str
    window: int
    operator: str
    frame_axis: int


def read_table(table: Any) -> list[Entry]:
    """The entries of a ``streaming_table``: a mapping of ``insert_streaming_cache_on_var``, or a list of those.

    Raises:
        EspdlError: for anything else, and for a window below 1.
    """
    if table is None:
        return []
    parts = [table] if isinstance(table, Mapping) else table
    if not isinstance(parts, Sequence) or isinstance(parts, str) or not all(isinstance(part, Mapping) for part in parts):
        raise EspdlError(
            "streaming_table is no list of entries", hint="[insert_streaming_cache_on_var('/conv/Conv_output_0', 3)]"
        )
    return [_entry(name, facts) for part in parts for name, facts in part.items()]


def _entry(name: Any, facts: Any) -> Entry:
    where = f"streaming_table[{name!r}]"
    if not isinstance(facts, Mapping) or "window_size" not in facts or not set(facts) <= _FIELDS:
        raise EspdlError(
            "an entry holds window_size, op_name and frame_axis", where=where, hint="make it with insert_streaming_cache_on_var"
        )
    window, axis, operator = facts["window_size"], facts.get("frame_axis"), facts.get("op_name")
    axis = 1 if axis is None else axis
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise EspdlError(f"window_size {window!r}", where=where, why="it is a whole number from 1 on")
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise EspdlError(f"frame_axis {axis!r}", where=where, why="it is a whole number")
    return Entry(str(name), window, str(operator or ""), axis)


def located(entries: list[Entry], network: ir.Model) -> list[Entry]:
    """The entries with names that the prepared network has.

    Scripts for ESP-PPQ name tensors that only its exporter makes (``PPQ_Variable_0``); with the operator given, its first input is meant.

    Raises:
        EspdlError: for a tensor or operator that does not exist, with the nearest names.
    """
    nodes = {node.name or "": node for node in network.graph}
    values = {value.name or "" for node in network.graph for value in (*node.inputs, *node.outputs) if value is not None}
    found = []
    for entry in entries:
        where = f"streaming_table[{entry.variable!r}]"
        if entry.operator and entry.operator not in nodes:
            raise EspdlError(
                f"the network has no operator {entry.operator!r}", where=where, hint=_near(entry.operator, nodes, "operators")
            )
        variable = entry.variable
        if variable not in values and entry.operator and variable.startswith("PPQ_Variable_"):
            source = nodes[entry.operator].inputs[0]
            variable = source.name or "" if source is not None else variable
        if variable not in values:
            raise EspdlError(f"the network has no tensor {variable!r}", where=where, hint=_near(variable, values, "tensors"))
        found.append(Entry(variable, entry.window, entry.operator, entry.frame_axis))
    return found


def _near(name: str, known: Any, noun: str) -> str:
    near = nearest(name, known)
    return near or f"its {noun} are " + ", ".join(sorted(name for name in known if name)[:8])


def _sizes(name: str, shape: Any) -> tuple[int, ...]:
    try:
        return tuple(index(size) for size in shape)
    except TypeError:
        raise EspdlError(f"streaming_input_shape of {name!r} is {shape!r}", hint="a list of whole numbers") from None


def read_shapes(network: ir.Model, shapes: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of one chunk by input name, of those inputs that are fed in chunks.

    Args:
        network: whose inputs have the shapes of a whole run.
        shapes: a list for the only input, or a mapping by name; in the order of the ONNX network.

    Raises:
        EspdlError: when there are none, or one does not differ from the network's in exactly one axis.
    """
    known = input_shapes_of(network)
    example = next((f"[{', '.join(map(str, shape))}]" for shape in known.values()), "")
    if shapes is None:
        raise EspdlError(
            "streaming_input_shape is missing",
            why="it says how many frames a chunk has",
            hint=f"the shape {example} with fewer frames",
        )
    if not isinstance(shapes, (Mapping, Sequence)):
        raise EspdlError(f"streaming_input_shape is {shapes!r}", hint=f"the shape {example} with fewer frames")
    if not isinstance(shapes, Mapping):
        shapes = list(shapes)
        if len(known) != 1:
            raise EspdlError(
                f"the network has {len(known)} inputs", hint="streaming_input_shape={name: shape}: " + ", ".join(known)
            )
        shapes = {next(iter(known)): shapes}
    chunks: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        if name not in known:
            raise EspdlError(f"the network has no input {name!r}", hint=nearest(name, known) or ", ".join(known))
        whole, chunk = known[name], _sizes(name, shape)
        differing = [axis for axis, (old, new) in enumerate(zip(whole, chunk, strict=False)) if old != new]
        if len(chunk) != len(whole) or len(differing) > 1 or min(chunk, default=0) < 1:
            raise EspdlError(
                f"a chunk of shape {list(shape)} for input {name!r} of shape {list(whole)}",
                why="exactly one axis, time, may differ",
            )
        if differing:
            chunks[name] = chunk
    if not chunks:
        raise EspdlError(
            "a chunk is as long as the whole input", why="exactly one axis, time, must differ", hint="give fewer frames"
        )
    return chunks
