"""Layers whose channels meet: those that write a tensor and those that read it, with what only passes it on in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from espdl.quantize.passes.tools import attribute, constant, input_of, shape_of

LAYERS = ("Conv", "Gemm")
RELAYS = ("Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "Identity")
"""They commute with a positive factor per channel, and treat channels alike."""
JOINING_RELAYS = (*RELAYS, "Add", "Sub")
"""With those that add tensors whose channels have the same factors."""


@dataclass(frozen=True)
class Neighbours:
    """Layers that share channels.

    Attributes:
        above: layers whose output channels they are.
        below: layers whose input channels they are.
        between: nodes on the way, in no order.
    """

    above: tuple[ir.Node, ...]
    below: tuple[ir.Node, ...]
    between: tuple[ir.Node, ...]

    @property
    def channels(self) -> int:
        return (shape_of(self.above[0].outputs[0]) or (0, 0))[1]


def find_neighbours(model: ir.Model, level: int = 1) -> Iterator[Neighbours]:
    """All such groups, in execution order of their first layer; each layer is ``above`` in at most one (quantizer spec 8.1).

    Args:
        model: a finished network.
        level: 1 goes through activations and pools, 2 through Add and Sub, too.

    A group holds only where everything that the channels reach is a layer with a constant weight: no output of the network, no other
    operator, no Add of a constant.
    """
    relays = RELAYS if level == 1 else JOINING_RELAYS
    seen: set[ir.Node] = set()
    for node in model.graph:
        if is_layer(node) and node not in seen:
            found = _group(node, relays)
            if found is not None:
                seen.update(found.above)
                yield found


def is_layer(node: ir.Node) -> bool:
    """Whether a node is a Conv or Gemm with a constant weight."""
    if node.domain or node.op_type not in LAYERS or constant(input_of(node, 1)) is None:
        return False
    return node.op_type == "Conv" or not attribute(node, "transA", 0)


def _group(start: ir.Node, relays: Iterable[str]) -> Neighbours | None:
    above, below, between = {start: None}, dict[ir.Node, None](), dict[ir.Node, None]()
    open_values = [start.outputs[0]]
    visited: set[ir.Value] = set()
    while open_values:
        value = open_values.pop()
        if value in visited:
            continue
        visited.add(value)
        writer = value.producer()
        if writer is None or value.is_graph_output() or not value.uses():
            return None
        if is_layer(writer):
            above[writer] = None
        elif not _is_relay(writer, relays):
            return None
        else:
            between[writer] = None
            open_values += _variables(writer)
        for use in value.uses():
            reader = use.node
            if is_layer(reader) and use.idx == 0:
                below[reader] = None
            elif _is_relay(reader, relays):
                between[reader] = None
                open_values += [*reader.outputs, *_variables(reader)]
            else:
                return None
    return Neighbours(tuple(above), tuple(below), tuple(between)) if below else None


def _variables(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None and constant(value) is None]


def _is_relay(node: ir.Node, relays: Iterable[str]) -> bool:
    if node.domain or node.op_type not in relays or len(node.outputs) != 1:
        return False
    variables = _variables(node)
    if node.op_type == "PRelu":
        slope = constant(input_of(node, 1))
        return slope is not None and bool((slope >= 0).all())
    if node.op_type in ("Add", "Sub"):
        return len(variables) == 2 and shape_of(variables[0]) == shape_of(variables[1])
    return len(variables) == 1
