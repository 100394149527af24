"""What a network is made of, as far as widths go: nodes that have one together, and tensors between them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import onnx_ir as ir

from espdl.dtypes import QuantType
from espdl.quantize.assign import module_of
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.passes.tools import constant, sole_consumer
from espdl.quantize.share import ACTIVATIONS

NARROW, WIDE = 8, 16


@dataclass(eq=False)
class Unit:
    """Nodes whose width changes together: a layer, and the Relu or Clip that becomes part of it.

    Attributes:
        nodes: in execution order.
        is_free: whether it can run in 16 bits, and nothing says otherwise.
    """

    nodes: list[ir.Node]
    is_free: bool

    @property
    def names(self) -> list[str]:
        return [node.name or "" for node in self.nodes]


@dataclass(eq=False)
class Held:
    """A tensor that is held in 8 bits, with those that hold the same numbers in another order or shape.

    Attributes:
        name: of the first in the network.
        info: its representation.
        size: its elements.
        writer: the unit that writes it; None for what comes into the network, or from a float operator.
        units: all that write or read one of them in 8 bits: with all of them in 16 bits, nothing is rounded to 8.
    """

    name: str
    info: QuantInfo
    size: int
    writer: Unit | None
    units: list[Unit] = field(default_factory=list)


def find_parts(graph: QuantGraph, kept: Collection[str]) -> tuple[list[Unit], list[Held]]:
    """Units and tensors in 8 bits, in execution order.

    Args:
        graph: quantized in 8 bits.
        kept: names of nodes that must stay as they are.
    """
    units: dict[str, Unit] = {}
    made: list[Unit] = []
    for node in graph.nodes():
        name = node.name or ""
        if graph.bits[name] != NARROW:
            continue
        joined = _joined_to(node)
        if joined is not None and joined in units:
            unit = units[joined]
            unit.nodes.append(node)
            unit.is_free &= _can_be_wide(node, kept)
        else:
            unit = Unit([node], _can_be_wide(node, kept))
            made.append(unit)
        units[name] = unit
    return made, _held(graph, units)


def _joined_to(node: ir.Node) -> str | None:
    """Name of the node that a Relu or Clip becomes part of."""
    source = node.inputs[0] if node.inputs else None
    writer = source.producer() if source is not None else None
    is_part = source is not None and node.op_type in ACTIVATIONS and sole_consumer(source, *ACTIVATIONS) is node
    return writer.name if writer is not None and is_part else None


def _can_be_wide(node: ir.Node, kept: Collection[str]) -> bool:
    module = module_of(node)
    return node.name not in kept and QuantType.SYMM_16BIT in module.contract.quant_types and not module.quantization.truth_values


def _held(graph: QuantGraph, units: dict[str, Unit]) -> list[Held]:
    found: dict[str, Held] = {}
    for node in graph.nodes():
        unit = units.get(node.name or "")
        if unit is None:
            continue
        for index, value in enumerate(node.inputs):
            if value is not None and constant(value) is None:
                _touch(found, value, graph.input_info(node, index), unit, None)
        source = node.inputs[0].name if node.inputs and node.inputs[0] is not None else None
        for value in node.outputs:
            info = graph.output_info(value)
            same = found.get(source or "") if module_of(node).quantization.passive else None
            if same is not None and info is not None and info.root is same.info.root:
                found[value.name or ""] = same
            elif sole_consumer(value, *ACTIVATIONS) is None or _joined_to_other(value, unit, units):
                _touch(found, value, info, unit, unit)
    return list({id(held): held for held in found.values()}.values())


def _joined_to_other(value: ir.Value, unit: Unit, units: dict[str, Unit]) -> bool:
    """Whether the activation behind a tensor has a width of its own."""
    return any(units.get(use.node.name or "") is not unit for use in value.uses())


def _touch(found: dict[str, Held], value: ir.Value, info: QuantInfo | None, unit: Unit, writer: Unit | None) -> None:
    name = value.name or ""
    held = found.get(name)
    if held is None:
        if info is None or not info.has_exponents or info.bits != NARROW or info.role is not Role.ACTIVATION:
            return
        if writer is None and _is_inside(value, unit):
            return
        size = 1
        for length in value.shape or ():
            size *= int(length) if isinstance(length, int) else 1
        held = found[name] = Held(name, info, size, writer)
    if unit not in held.units:
        held.units.append(unit)


def _is_inside(value: ir.Value, unit: Unit) -> bool:
    """Whether a tensor is between the nodes of a unit, and so held nowhere."""
    return value.producer() in unit.nodes
