"""Shapes of every value, and the value of everything that does not depend on the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from espdl.errors import EspdlError
from espdl.quantize.custom import is_custom
from espdl.quantize.passes.infer import describe, infer_node
from espdl.quantize.passes.tools import shape_of

LARGEST_CONSTANT = 1 << 26
"""Elements a folded constant may have: a network for a microcontroller has no larger one, a malformed one asks for it."""

_RANDOM = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"})
_KEPT = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


class Evaluate(ir.passes.InPlacePass):
    """Infers shapes and folds constants in one walk in execution order.

    Both at once, because each needs the other: the shape of a Reshape is a constant once the shapes before it are known, and the chains
    of Shape, Gather, Concat and Slice that exporters write become constants only then.

    Needs: nodes in execution order, static shapes on the graph inputs.
    Leaves: a shape and an element type on every value that follows from the inputs; no node whose inputs are all constant; no Constant
    and no Shape node; initializers for what was folded.

    Args:
        record: gets the shape of every value by name, folded ones included.
    """

    def __init__(self, record: dict[str, tuple[int, ...]] | None = None) -> None:
        super().__init__()
        self.record = record

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        if self.record is not None:
            self.record.update(
                (value.name or "", shape) for value in model.graph.inputs if (shape := shape_of(value)) is not None
            )
        for initializer in model.graph.initializers.values():
            if initializer.const_value is not None:
                initializer.shape = ir.Shape(initializer.const_value.numpy().shape)
                initializer.type = ir.TensorType(initializer.const_value.dtype)
        for node in tuple(model.graph):
            infer_node(node, model)
            if self.record is not None:
                self.record.update(
                    (output.name or "", shape) for output in node.outputs if (shape := shape_of(output)) is not None
                )
            values = _fold(node, model)
            if values is not None:
                _store(node, values, model.graph)
                modified = True
        if modified:
            RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, modified)


def _fold(node: ir.Node, model: ir.Model) -> list[NDArray[Any]] | None:
    """The outputs of ``node`` if they are known now, None otherwise."""
    if node.domain != "" or node.op_type in _RANDOM or node.op_type in _KEPT or _has_subgraph(node):
        return None
    if is_custom(node, model):
        return None
    if node.op_type == "Identity" and node.outputs[0].is_graph_output():
        return None  # it stands between a constant and a graph output, which ONNX wants produced by a node
    if node.op_type in ("Shape", "Size"):
        return _fold_shape(node)
    inputs: list[NDArray[Any] | None] = []
    for value in node.inputs:
        if value is None:
            inputs.append(None)
        elif value.const_value is None or value.is_graph_input():
            return None
        else:
            inputs.append(value.const_value.numpy())
    size = max((int(np.prod(shape_of(output) or (1,), dtype=object)) for output in node.outputs), default=0)
    if node.op_type == "ConstantOfShape" and inputs and inputs[0] is not None:
        size = max(size, int(np.prod(inputs[0].tolist(), dtype=object)))
    if size > LARGEST_CONSTANT:
        raise EspdlError(f"a constant of {size} elements would be needed", where=describe(node))
    return _run(node, inputs, model)


def _fold_shape(node: ir.Node) -> list[NDArray[Any]] | None:
    source = shape_of(node.inputs[0])
    if source is None:
        return None
    if node.op_type == "Size":
        return [np.array(int(np.prod(source, dtype=np.int64)), np.int64)]
    start, end = node.attributes.get("start"), node.attributes.get("end")
    return [np.array(source[start.as_int() if start else 0 : end.as_int() if end else None], np.int64)]


def _run(node: ir.Node, inputs: list[NDArray[Any] | None], model: ir.Model) -> list[NDArray[Any]] | None:
    from onnx.reference import ops  # large, and most networks do not need it

    version = node.version or model.opset_imports[""]
    attributes = {
        name: ir.serde.serialize_tensor(attr.value) if attr.type is ir.AttributeType.TENSOR else attr.value
        for name, attr in node.attributes.items()
    }
    try:
        operator = ops.load_op("", node.op_type, version)
        result = operator.eval(*inputs, n_outputs=len(node.outputs), **attributes)
    except Exception as error:  # the reference implementation raises whatever NumPy raises
        raise EspdlError("constant inputs cannot be evaluated", where=describe(node), why=str(error)) from None
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    if len(results) < len(node.outputs) or not all(isinstance(item, (np.ndarray, np.generic)) for item in results):
        return None
    return [np.asarray(item) for item in results]


def _store(node: ir.Node, values: list[NDArray[Any]], graph: ir.Graph) -> None:
    """Turns the outputs of ``node`` into initializers and removes it. A constant that is a graph output stays behind an Identity."""
    for output, array in zip(node.outputs, values, strict=False):
        name = output.name
        shared = output.is_graph_output()
        output.name = None if not shared else name
        tensor = ir.tensor(array, name=f"{name}_value" if shared else name)
        value = ir.Value(name=tensor.name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        graph.register_initializer(value)
        ir.convenience.replace_all_uses_with(output, value) if not shared else None
        if shared:
            for use in tuple(output.uses()):
                use.node.replace_input_with(use.idx, value)
            keep = ir.node("Identity", [value], name=f"{node.name}_constant")
            ir.convenience.replace_all_uses_with(output, keep.outputs[0], replace_graph_outputs=True)
            output.name = None
            keep.outputs[0].name, keep.outputs[0].shape, keep.outputs[0].type = name, value.shape, value.type
            graph.insert_before(node, keep)
    graph.remove(node, safe=True)


def _has_subgraph(node: ir.Node) -> bool:
    return any(attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attr in node.attributes.values())
