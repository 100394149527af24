"""Which tensors can be scaled channel by channel: between layers that make up for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import onnx_ir as ir

from espdl.quantize.balance.layers import Layer, is_layer
from espdl.quantize.passes.tools import attribute, constant, scalar, shape_of, sole_consumer

RELAYS = frozenset(
    ("Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMax", "Identity", "Flatten", "Resize")
)
"""Operators that compute ``f(s x) = s f(x)`` for positive factors per channel, and leave channels on axis 1."""

_FIXED = "\0fixed"


@dataclass
class Group:
    """Tensors whose channels have the same factors.

    Attributes:
        channels: their number.
        writers: layers that write one of the tensors: their output channels take the factors.
        readers: layers that read one: their input channels take the inverse.
        sizes: sizes of axis 1 of all of them, by name.
        tensors: names of those that need an exponent; what only an activation reads does not.
        held: those of them that are rounded to the width that factors are chosen for.
        relays: nodes between them, in execution order.
        clips: those that cut the group off at ``bound``.
        bound: upper bound of all clips; None without any.
    """

    channels: int
    writers: list[Layer] = field(default_factory=list)
    readers: list[Layer] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    tensors: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    relays: list[ir.Node] = field(default_factory=list)
    clips: list[ir.Node] = field(default_factory=list)
    bound: float | None = None


def find_groups(model: ir.Model, untouched: Collection[str] = ()) -> tuple[list[Group], list[Layer]]:
    """The groups of a network in the order in which they are written, and all of its layers.

    Tensors are joined by the operators in :data:`RELAYS`, Clip from 0 to a constant, and Add or Sub of two tensors of the same shape. A
    group is free where only layers write it, only layers read it, and nothing else touches it.

    Args:
        model: a prepared network.
        untouched: names of nodes that must keep what they read and write.
    """
    values = {value.name or "": value for node in model.graph for value in node.outputs}
    values |= {value.name or "": value for value in model.graph.inputs}
    sets = _Sets()
    for value in (*model.graph.inputs, *model.graph.outputs):
        sets.join(value.name or "", _FIXED)
    nodes = [node for node in model.graph if is_layer(node) and node.name not in untouched]
    layers = {id(node) for node in nodes}
    for node in model.graph:
        if id(node) not in layers:
            _join(sets, node, node.name in untouched)
    groups: dict[str, Group] = {}
    for name, value in values.items():
        shape, root = shape_of(value) or (), sets.root(name)
        if root != sets.root(_FIXED) and len(shape) > 1:
            # A flattened tensor has a multiple of the channels.
            group = groups.setdefault(root, Group(shape[1]))
            group.channels = min(group.channels, shape[1])
            group.sizes[name] = shape[1]
            if sole_consumer(value, "Relu", "Clip") is None:
                group.tensors.append(name)
                group.held.append(name)
    for node in model.graph:
        found = groups.get(sets.root(node.outputs[0].name or ""))
        if found is not None and id(node) not in layers:
            found.relays.append(node)
            if node.op_type == "Clip":
                found.clips.append(node)
    made = []
    for node in nodes:
        source, result = (sets.root(value.name or "") for value in (node.inputs[0], node.outputs[0]) if value is not None)
        reads, writes = groups.get(source), groups.get(result)
        channels = reads.channels if reads is not None else (shape_of(node.inputs[0]) or (0, 0))[1]
        layer = Layer(node, channels)
        made.append(layer)
        if reads is not None:
            reads.readers.append(layer)
        if writes is not None:
            writes.writers.append(layer)
    return [group for group in groups.values() if _is_free(group)], made


def _join(sets: _Sets, node: ir.Node, untouched: bool) -> None:
    """Lets the tensors of a node that is no layer have the same factors, or none."""
    names = [value.name or "" for value in (*node.inputs, *node.outputs) if value is not None and constant(value) is None]
    names = [name for name in names if name]
    if untouched or not _keeps_factors(node):
        names.append(_FIXED)
    for name in names[1:]:
        sets.join(names[0], name)


def _keeps_factors(node: ir.Node) -> bool:
    if node.domain:
        return False
    before, after = shape_of(node.inputs[0]) if node.inputs else None, shape_of(node.outputs[0])
    if before is None or after is None or len(before) < 2 or before[0] != 1:
        return False
    if node.op_type in ("Add", "Sub"):
        return all(constant(value) is None and shape_of(value) == after for value in node.inputs)
    if node.op_type == "Clip":
        return len(node.inputs) == 3 and scalar(node.inputs[1]) == 0.0 and (scalar(node.inputs[2]) or 0.0) > 0.0
    if node.op_type == "Flatten":
        return attribute(node, "axis", 1) == 1
    if node.op_type == "Resize" and attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
        return False
    constants = all(constant(value) is not None for value in node.inputs[1:] if value is not None)
    return node.op_type in RELAYS and constants and len(after) > 1 and after[1] == before[1]


def _is_free(group: Group) -> bool:
    """Whether factors can be chosen; notes the bound of its clips."""
    if not group.writers or not group.readers:
        return False
    bounds = {scalar(node.inputs[2]) for node in group.clips}
    if bounds:
        group.bound = bounds.pop()
        activations = {id(node) for node in group.clips}
        behind = [sole_consumer(layer.node.outputs[0], "Clip") for layer in group.writers]
        if bounds or any(node is None or id(node) not in activations for node in behind):
            return False
    return all(layer.outputs == group.channels for layer in group.writers)


class _Sets:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, name: str) -> str:
        while (parent := self._parents.setdefault(name, name)) != name:
            name = parent
        return name

    def join(self, one: str, other: str) -> None:
        self._parents[self.root(one)] = self.root(other)
