"""A few nodes of a network as a network of their own."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from espdl.quantize.passes.tools import constant


def subnetwork(model: ir.Model, nodes: Sequence[ir.Node], outputs: Sequence[ir.Value]) -> ir.Model:
    """Copies of ``nodes``, which must be in execution order; what they read from elsewhere becomes an input.

    Args:
        model: with static shapes; it is not changed.
        nodes: some of its nodes.
        outputs: some of their results.
    """
    values: dict[ir.Value, ir.Value] = {}
    inputs: list[ir.Value] = []
    constants: list[ir.Value] = []
    copies = []
    for node in nodes:
        for value in node.inputs:
            if value is not None and value not in values:
                values[value] = ir.Value(name=value.name, shape=value.shape, type=value.type, const_value=value.const_value)
                (inputs if constant(value) is None else constants).append(values[value])
        given = [None if value is None else values[value] for value in node.inputs]
        copy = ir.Node(
            node.domain, node.op_type, given, list(node.attributes.values()), num_outputs=len(node.outputs), name=node.name
        )
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.name, new.shape, new.type = old.name, old.shape, old.type
            values[old] = new
        copies.append(copy)
    graph = ir.Graph(
        inputs,
        [values[value] for value in outputs],
        nodes=copies,
        initializers=constants,
        opset_imports=dict(model.opset_imports),
        name=model.graph.name,
    )
    return ir.Model(graph, ir_version=model.ir_version or 10, functions=list(model.functions.values()))
