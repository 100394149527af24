"""What passes over a float network share: reading constants and shapes, making nodes, replacing them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from espdl.quantize.passes.infer import infer_node

OPSET = 24
"""The operator set of every network after import: the first that has Swish, RMSNormalization, Gelu and HardSwish."""

DOMAIN = "espdl"
"""Domain of operators that ONNX lacks: calls of functions that the model carries, so that any ONNX runtime executes them."""


def name_of(value: ir.Value | None) -> str:
    """The name of a value; empty for an input that is left out."""
    return "" if value is None else value.name or ""


def shape_of(value: ir.Value | None) -> tuple[int, ...] | None:
    """The static shape of a value, None where it is omitted, unknown or dynamic."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return tuple(size for size in value.shape if isinstance(size, int))


def input_shapes_of(network: ir.Model) -> dict[str, tuple[int, ...]]:
    """Static shapes of a network's inputs by name."""
    return {value.name or "": tuple(shape_of(value) or ()) for value in network.graph.inputs}


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array of an initializer, None for any other value."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return value.const_value.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of one element, None for any other value."""
    array = constant(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 and array.dtype.kind in "fiu" else None


def integers(value: ir.Value | None) -> list[int] | None:
    """A constant list of integers (axes, pads, shape), None for any other value."""
    array = constant(value)
    return [int(item) for item in array.reshape(-1)] if array is not None and array.dtype.kind in "iu" else None


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """An attribute as a plain Python value, ``default`` where the node does not have it."""
    found = node.attributes.get(name)
    if found is None or found.value is None:
        return default
    return list(found.value) if isinstance(found.value, tuple) else found.value


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Input ``index``, None where it is omitted."""
    return node.inputs[index] if index < len(node.inputs) else None


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that produces ``value`` if it is a standard operator of one of the types given."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.domain == "" and node.op_type in op_types else None


def is_only_for(value: ir.Value, node: ir.Node) -> bool:
    """Whether ``node`` alone reads ``value`` and the network does not put it out."""
    return not value.is_graph_output() and all(consumer is node for consumer in value.consumers())


def sole_consumer(value: ir.Value, *op_types: str) -> ir.Node | None:
    """The one node that reads ``value``, once, if it is a standard operator of one of the types given."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0].node
    return node if node.domain == "" and (not op_types or node.op_type in op_types) else None


def split_constant(node: ir.Node) -> tuple[ir.Value, NDArray[Any]] | None:
    """The two inputs of a binary node as (variable, constant), in whichever order they stand; None unless there is one of each."""
    if len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if first is None or second is None:
        return None
    for variable, other in ((first, second), (second, first)):
        array = constant(other)
        if array is not None and constant(variable) is None:
            return variable, array
    return None


class Editor:
    """Makes nodes and constants in one graph, with names that are not taken and with shapes."""

    def __init__(self, model: ir.Model) -> None:
        self.model = model
        self.graph = model.graph
        self._value_names: set[str] = {value.name for value in self._values() if value.name}
        self._node_names: set[str] = {node.name for node in self.graph if node.name}

    def _values(self) -> Iterable[ir.Value]:
        yield from self.graph.inputs
        yield from self.graph.initializers.values()
        for node in self.graph:
            yield from node.outputs

    def constant(self, name: str, array: NDArray[Any]) -> ir.Value:
        """A new initializer; the name gets a number where it is taken."""
        tensor = ir.tensor(np.asarray(array, order="C"))
        value = ir.Value(
            name=free_name(name, self._value_names),
            shape=ir.Shape(array.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        tensor.name = value.name
        self.graph.register_initializer(value)
        return value

    def free_name(self, name: str) -> str:
        """``name`` for a new value, with a number where it is taken."""
        return free_name(name, self._value_names)

    def before(
        self,
        place: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        domain: str = "",
    ) -> ir.Value:
        """A new node with one output before ``place``; returns the output, its shape inferred."""
        node = self._node(op_type, inputs, attributes, name or f"{place.name}_{op_type.lower()}", domain)
        node.outputs[0].name = free_name(f"{node.name}_output", self._value_names)
        self.graph.insert_before(place, node)
        infer_node(node, self.model)
        return node.outputs[0]

    def before_many(
        self,
        place: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any],
        *,
        outputs: int,
        name: str,
    ) -> list[ir.Value]:
        """Like :meth:`before`, for a node with several outputs."""
        node = ir.node(op_type, inputs, attributes, num_outputs=outputs, name=free_name(name, self._node_names))
        for index, output in enumerate(node.outputs):
            output.name = free_name(f"{node.name}_output_{index}", self._value_names)
        self.graph.insert_before(place, node)
        infer_node(node, self.model)
        return list(node.outputs)

    def replace(
        self,
        old: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        domain: str = "",
    ) -> ir.Node:
        """A new node in the place of ``old``, which must have one used output; that output keeps name, shape and consumers."""
        self._node_names.discard(old.name or "")
        node = self._node(op_type, inputs, attributes, name or old.name or op_type, domain)
        ir.convenience.replace_nodes_and_values(self.graph, old, [old], [node], old.outputs[:1], node.outputs)
        return node

    def replace_many(
        self,
        old: Sequence[ir.Node],
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any],
        *,
        place: ir.Node,
    ) -> ir.Node:
        """One node, at ``place``, whose outputs take over the first outputs of the nodes ``old``. ``place`` is the first of them."""
        self._node_names.difference_update(node.name or "" for node in old)
        node = ir.node(
            op_type, inputs, attributes, num_outputs=len(old), name=free_name(fused_name(place, op_type), self._node_names)
        )
        self.graph.insert_before(place, node)
        values = [item.outputs[0] for item in old]
        ir.convenience.replace_nodes_and_values(self.graph, place, list(old), [], values, node.outputs)
        return node

    def merge(
        self,
        node: ir.Node,
        last: ir.Node,
        inputs: Sequence[ir.Value | None],
        *,
        op_type: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        name: str | None = None,
        domain: str = "",
    ) -> ir.Node:
        """One node for ``node`` and what follows it up to ``last``: named and, unless given, typed as ``node``, writing ``last``'s output.

        Without ``attributes`` it keeps those of ``node`` if the type stays. What is left without consumers is removed after the pass.
        """
        if attributes is None:
            attributes = {key: attr.value for key, attr in node.attributes.items()} if op_type is None else {}
        self._node_names.discard(node.name or "")
        wanted = name or node.name or node.op_type
        if node is not last:
            node.name = None
        return self.replace(last, op_type or node.op_type, inputs, attributes, name=wanted, domain=domain)

    def bypass(self, node: ir.Node, source: ir.Value) -> bool:
        """Removes ``node`` and lets ``source`` serve the consumers of its first output; False where the graph needs the node."""
        output = node.outputs[0]
        if output.is_graph_output():
            if source.producer() is None or source.is_graph_output():
                return False
            name, output.name = output.name, None
            ir.convenience.replace_all_uses_with(output, source, replace_graph_outputs=True)
            source.name = name
        else:
            ir.convenience.replace_all_uses_with(output, source)
        if source.shape is None:
            source.shape = output.shape
        if source.type is None:
            source.type = output.type
        self.graph.remove(node, safe=True)
        return True

    def _node(
        self, op_type: str, inputs: Sequence[ir.Value | None], attributes: Mapping[str, Any] | None, name: str, domain: str
    ) -> ir.Node:
        # An empty list has no type of its own in ONNX, and means the same as the attribute's absence.
        kept = {key: value for key, value in (attributes or {}).items() if value is not None and value != [] and value != ()}
        return ir.node(op_type, inputs, kept, domain=domain, name=free_name(name, self._node_names))


def fused_name(node: ir.Node, op_type: str) -> str:
    """A name for a fused node after the one that it replaces: ``/block/Mul_2`` becomes ``/block/Gelu_2``."""
    name = node.name or node.op_type
    place = name.rfind(node.op_type)
    return f"{name}_{op_type}" if place < 0 else name[:place] + op_type + name[place + len(node.op_type) :]


def free_name(name: str, taken: set[str]) -> str:
    """``name``, with a number where it is taken; adds it to ``taken``."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


class NodePass(ir.passes.InPlacePass):
    """A pass that looks at one node at a time, in execution order, and rewrites around it.

    A subclass names the standard operators it starts from in ``op_types`` and implements :meth:`rewrite`. Nodes that lose their last
    consumer are removed afterwards, so a rewrite only replaces the last node of what it found.
    """

    op_types: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        """Rewrites around ``node`` and says whether anything changed."""

    def _starts_from(self, node: ir.Node) -> bool:
        return node.domain == "" and node.op_type in self.op_types

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in model.graph if self._starts_from(node)]
        if not nodes:
            return ir.passes.PassResult(model, False)
        edit = Editor(model)
        modified = False
        for node in nodes:
            if node.graph is not None and self._starts_from(node):  # unless an earlier rewrite removed or changed it
                modified |= self.rewrite(node, edit)
        if modified:
            RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)
