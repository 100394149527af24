"""Axis orders: which order each operator gets its tensors in, so that convolutions see channels last (quantizer spec 11.2).

An order is a permutation: the stored tensor is the tensor of the ONNX network with its axes transposed by it. :func:`arrange` decides
for one node; nothing here moves data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dl.module.contract import Layout, LayoutRule
from espdl.quantize.assign import module_of
from espdl.quantize.passes.tools import attribute, constant, integers, shape_of

Order = tuple[int, ...]


@dataclass(frozen=True)
class Arrangement:
    """How a node is written into a file.

    Attributes:
        inputs: the order each activation must come in; None for constants and omitted inputs.
        outputs: the order of each output.
        attributes: those that change because they name axes.
        constants: constant inputs that change, by index.
    """

    inputs: tuple[Order | None, ...]
    outputs: tuple[Order, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    constants: dict[int, NDArray] = field(default_factory=dict)


def identity(rank: int) -> Order:
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """The order of convolutions: (0, 2, 3, 1) for images, (0, 2, 1) for sequences; other ranks stay as they are."""
    return (0, *range(2, rank), 1) if rank in (3, 4) else identity(rank)


def compose(first: Order, then: Sequence[int]) -> Order:
    """The order after transposing a tensor stored in ``first`` by ``then``."""
    return tuple(first[axis] for axis in then)


def between(stored: Order, wanted: Order) -> Order:
    """The permutation that brings a tensor stored in one order into another."""
    return tuple(stored.index(axis) for axis in wanted)


def moves_nothing(shape: Sequence[int], permutation: Order) -> bool:
    """Whether transposing a tensor of ``shape`` leaves its elements where they are: only axes of one element change places."""
    moved = [axis for axis in permutation if shape[axis] != 1]
    return moved == sorted(moved)


def arrange(node: ir.Node, orders: Sequence[Order | None]) -> Arrangement:
    """The arrangement of a node.

    Args:
        node: of the prepared network; not a Transpose, which only changes an order.
        orders: of its activations as they are stored; None for constants and omitted inputs.
    """
    rule = module_of(node).layout
    if not orders or (orders[0] is None and rule.layout not in (Layout.BROADCAST, Layout.CONCAT)):
        return in_onnx_order(node, orders)
    if rule.layout is Layout.CHANNELS_LAST:
        return _channels_last(node, orders)
    if rule.layout is Layout.FOLLOWS_INPUT:
        return _follow(node, orders)
    if rule.layout is Layout.BROADCAST:
        return _broadcast(node, orders)
    if rule.layout is Layout.AXES:
        return _axes(node, orders, rule)
    if rule.layout is Layout.CONCAT:
        return _concat(node, orders, rule)
    return in_onnx_order(node, orders)


def in_onnx_order(node: ir.Node, orders: Sequence[Order | None]) -> Arrangement:
    """Everything in the order of the ONNX network."""
    inputs = tuple(None if order is None else identity(len(order)) for order in orders)
    return Arrangement(inputs, tuple(identity(_rank(value)) for value in node.outputs))


def _rank(value: ir.Value | None) -> int:
    return len(shape_of(value) or ())


def _channels_last(node: ir.Node, orders: Sequence[Order | None]) -> Arrangement:
    inputs = tuple(None if order is None else channels_last(len(order)) for order in orders)
    return Arrangement(inputs, tuple(channels_last(_rank(value)) for value in node.outputs))


def _follow(node: ir.Node, orders: Sequence[Order | None]) -> Arrangement:
    order = orders[0]
    assert order is not None
    if any(_rank(value) != len(order) for value in node.outputs) or any(o is not None and len(o) != len(order) for o in orders):
        return in_onnx_order(node, orders)
    return Arrangement(tuple(None if o is None else order for o in orders), (order,) * len(node.outputs))


def _common(orders: Sequence[Order | None], rank: int) -> Order | None:
    """The order to bring all activations to; None when they differ in rank."""
    present = [order for order in orders if order is not None]
    if not present or any(len(order) != rank for order in present):
        return None
    if channels_last(rank) in present:
        return channels_last(rank)
    return next((order for order in present if order != identity(rank)), present[0])


def _broadcast(node: ir.Node, orders: Sequence[Order | None]) -> Arrangement:
    rank = _rank(node.outputs[0])
    order = _common(orders, rank)
    if order is None:
        return in_onnx_order(node, orders)
    constants = _reordered_constants(node, orders, order)
    return Arrangement(tuple(None if o is None else order for o in orders), (order,) * len(node.outputs), {}, constants)


def _reordered_constants(node: ir.Node, orders: Sequence[Order | None], order: Order) -> dict[int, NDArray]:
    """Constants that broadcast against activations stored in ``order``."""
    changed: dict[int, NDArray] = {}
    for index, value in enumerate(node.inputs):
        array = constant(value)
        if array is not None and orders[index] is None and array.size > 1 and order != identity(len(order)):
            full = array.reshape((1,) * (len(order) - array.ndim) + array.shape)
            changed[index] = np.ascontiguousarray(full.transpose(order))
    return changed


def _axes(node: ir.Node, orders: Sequence[Order | None], rule: LayoutRule) -> Arrangement:
    order = orders[0]
    assert order is not None
    if rule.leading_attribute:
        order = _with_axis_ahead(node, order, attribute(node, rule.leading_attribute))
    if order == identity(len(order)) or any(o is not None for o in orders[1:]):
        return in_onnx_order(node, orders)
    rank = len(order)
    attributes: dict[str, Any] = {}
    constants: dict[int, NDArray] = {}
    named: list[int] = []
    for name in rule.axis_attributes:
        axes = attribute(node, name, _default(node, name))
        if axes is None:
            continue
        single = not isinstance(axes, list)
        found = [axis % rank for axis in ([axes] if single else axes)]
        named += found
        attributes[name] = order.index(found[0]) if single else sorted(order.index(axis) for axis in found)
    for index in rule.axes_inputs:
        value = node.inputs[index] if index < len(node.inputs) else None
        given = integers(value)
        if given is None:
            if value is not None or len(node.inputs) > index or _has_other_constants(node, index):
                return in_onnx_order(node, orders)
            continue
        found = [axis % rank for axis in given]
        named += found
        constants[index] = np.array([order.index(axis) for axis in found], dtype=np.int64)
    for index in rule.per_axis_inputs:
        array = constant(node.inputs[index]) if index < len(node.inputs) else None
        if array is None or array.size % rank:
            return in_onnx_order(node, orders)
        constants[index] = array.reshape(-1, rank)[:, order].reshape(-1)
    outputs = []
    for value in node.outputs:
        if _rank(value) == rank:
            outputs.append(order)
        elif _rank(value) == rank - len(set(named)):
            kept = [axis for axis in order if axis not in named]
            outputs.append(tuple(sorted(kept).index(axis) for axis in kept))
        else:
            return in_onnx_order(node, orders)
    return Arrangement((order, *(None for _ in orders[1:])), tuple(outputs), attributes, constants)


def _with_axis_ahead(node: ir.Node, order: Order, axis: int) -> Order:
    """An order like the one given in which only axes of one element stand before ``axis``."""
    shape, place = shape_of(node.inputs[0]) or (), order.index(axis)
    longer = [before for before in order[:place] if shape[before] != 1]
    return (*(before for before in order[:place] if before not in longer), axis, *longer, *order[place + 1 :])


def _has_other_constants(node: ir.Node, index: int) -> bool:
    """Whether constants beside the omitted axes count by axis, as starts and ends of a Slice do."""
    return any(constant(value) is not None for i, value in enumerate(node.inputs) if i != index)


def _concat(node: ir.Node, orders: Sequence[Order | None], rule: LayoutRule) -> Arrangement:
    rank = _rank(node.outputs[0])
    order = _common(orders, rank)
    if order is None:
        return in_onnx_order(node, orders)
    name = rule.axis_attributes[0]
    axis = attribute(node, name, _default(node, name)) % rank
    inputs = tuple(None if o is None else order for o in orders)
    return Arrangement(inputs, (order,), {name: order.index(axis)}, _reordered_constants(node, orders, order))


def _default(node: ir.Node, name: str) -> int | None:
    """The value that ONNX gives an attribute that a node does not have."""
    if node.domain or not onnx.defs.has(node.op_type):
        return None
    declared = onnx.defs.get_schema(node.op_type).attributes.get(name)
    if declared is None or declared.default_value.type != onnx.AttributeProto.INT:
        return None
    return declared.default_value.i


def preferred_input_order(value: ir.Value) -> Order:
    """The order a graph input is stored in: channels last if, through operators that work in any order, a convolution reads it."""
    rank = _rank(value)
    if channels_last(rank) == identity(rank):
        return identity(rank)
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        for node in current.consumers():
            layout = module_of(node).layout.layout
            if layout is Layout.CHANNELS_LAST and node.inputs[0] is current:
                return channels_last(rank)
            if layout not in (Layout.ONNX, Layout.CHANNELS_LAST):
                waiting += [output for output in node.outputs if _rank(output) == rank]
    return identity(rank)
