"""Operators of the chip that ONNX lacks, as functions of standard operators.

A prepared network calls them from domain ``espdl``; the model carries the functions, so that any ONNX runtime executes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import DOMAIN, OPSET, Editor


def _constant(name: str, array: np.ndarray) -> ir.Node:
    node = ir.node("Constant", [], {"value": ir.tensor(array)})
    node.outputs[0].name = name
    return node


def _function(name: str, inputs: Sequence[ir.Value], nodes: Sequence[ir.Node], attributes: Sequence[ir.Attr]) -> ir.Function:
    for index, node in enumerate(nodes):
        node.outputs[0].name = node.outputs[0].name or f"v{index}"
    graph = ir.Graph(inputs, nodes[-1].outputs, nodes=nodes, opset_imports={"": OPSET}, name=name)
    return ir.Function(DOMAIN, name, graph=graph, attributes=attributes)


def _gemm() -> ir.Function:
    """Y = X W + B over the last axis of X, which has any rank: X [..., C], W [C, N], B [N]."""
    x, w, b = ir.val("X"), ir.val("W"), ir.val("B")
    product = ir.node("MatMul", [x, w])
    return _function("Gemm", [x, w, b], [product, ir.node("Add", [product.outputs[0], b])], [])


def _insert_zeros() -> ir.Function:
    """X [N, C, spatial...] with ``stride - 1`` zeros between neighbours of each spatial axis and ``output_padding`` at its end.

    That is a transposed convolution of every channel by itself with a kernel of one 1.
    """
    x = ir.val("X")
    rank = ir.node("Shape", [x])
    rank_of = ir.node("Shape", [rank.outputs[0]])
    kernel_shape = ir.node("ConstantOfShape", [rank_of.outputs[0]], {"value": ir.tensor(np.ones(1, np.int64))})
    kernel = ir.node("ConstantOfShape", [kernel_shape.outputs[0]], {"value": ir.tensor(np.ones(1, np.float32))})
    spatial = ir.node("Shape", [x], {"start": 2})
    alone = _constant("alone", np.array([-1, 1], np.int64))
    single = ir.node("Concat", [alone.outputs[0], spatial.outputs[0]], {"axis": 0})
    planes = ir.node("Reshape", [x, single.outputs[0]])
    stretched = ir.Node(
        "",
        "ConvTranspose",
        [planes.outputs[0], kernel.outputs[0]],
        [
            ir.RefAttr("strides", "stride", ir.AttributeType.INTS),
            ir.RefAttr("output_padding", "output_padding", ir.AttributeType.INTS),
        ],
    )
    channels = ir.node("Shape", [x], {"end": 2})
    size = ir.node("Shape", [stretched.outputs[0]], {"start": 2})
    target = ir.node("Concat", [channels.outputs[0], size.outputs[0]], {"axis": 0})
    result = ir.node("Reshape", [stretched.outputs[0], target.outputs[0]])
    nodes = [rank, rank_of, kernel_shape, kernel, spatial, alone, single, planes, stretched, channels, size, target, result]
    parameters = [ir.Attr(name, ir.AttributeType.INTS, None) for name in ("stride", "output_padding")]
    return _function("InsertZeros", [x], nodes, parameters)


_MAKERS: dict[str, Callable[[], ir.Function]] = {"Gemm": _gemm, "InsertZeros": _insert_zeros}


def ensure_function(model: ir.Model, name: str) -> None:
    """Adds the function ``espdl.name`` to the model if it does not carry it yet."""
    if (DOMAIN, name, "") not in model.functions:
        function = _MAKERS[name]()
        model.functions[function.identifier()] = function
        model.opset_imports[DOMAIN] = 1


def call_gemm(edit: Editor, node: ir.Node, last: ir.Node, inputs: Sequence[ir.Value | None]) -> ir.Node:
    """Puts a call of ``espdl.Gemm`` in the place of ``node``, writing the output of ``last``."""
    ensure_function(edit.model, "Gemm")
    return edit.merge(node, last, inputs, op_type="Gemm", domain=DOMAIN, attributes={})
