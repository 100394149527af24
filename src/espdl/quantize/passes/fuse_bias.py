"""Additions after a layer become its bias, and MatMul with a constant becomes Gemm."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.passes.functions import call_gemm
from espdl.quantize.passes.tools import Editor, NodePass, constant, input_of, producer, shape_of, sole_consumer, split_constant


class FuseBias(NodePass):
    """Takes an Add, or Sub, of one constant per output channel into the bias of the Conv, ConvTranspose or Gemm before it.

    Needs: the layer has no other consumer. A layer with a bias gets the sum of both.
    Leaves: the layer under its own name, writing the Add's output.
    """

    op_types = ("Add", "Sub")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        found = split_constant(node)
        if found is None or (node.op_type == "Sub" and constant(node.inputs[1]) is None):
            return False
        variable, array = found
        array = -array if node.op_type == "Sub" else array
        layer = producer(variable, "Conv", "ConvTranspose", "Gemm")
        weight, shape = (constant(input_of(layer, 1)), shape_of(variable)) if layer is not None else (None, None)
        if layer is None or weight is None or shape is None or sole_consumer(variable) is not node:
            return False
        axis = len(shape) - 1 if layer.op_type == "Gemm" else 1
        addend = per_channel(array, shape, axis)
        own = input_of(layer, 2)
        bias = constant(own)
        if addend is None or (own is not None and bias is None) or shape != shape_of(node.outputs[0]):
            return False
        total = addend if bias is None else addend + bias.reshape(-1)
        value = edit.constant(f"{layer.name}_bias", total.astype(np.float32))
        edit.merge(layer, node, [layer.inputs[0], layer.inputs[1], value])
        return True


class MatMulToGemm(NodePass):
    """Turns MatMul by a constant matrix, with the Add of a vector that follows it, into Gemm.

    On rank 2 it is ONNX's Gemm, on other ranks the chip's Gemm, which works on the last axis (runtime spec 3.4) and is written as a call
    of the function ``espdl.Gemm``. Without an Add it becomes Gemm only where weights have one exponent per channel: a Gemm profits from
    that, a MatMul does not.

    Needs: the MatMul has no other consumer than the Add.
    Leaves: the Gemm under the MatMul's name, writing the Add's output.

    Args:
        without_bias: also where no Add follows.
    """

    op_types = ("MatMul",)

    def __init__(self, without_bias: bool) -> None:
        super().__init__()
        self.without_bias = without_bias

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        weight, shape = constant(node.inputs[1]), shape_of(node.outputs[0])
        if weight is None or weight.ndim != 2 or shape is None or len(shape) < 2 or constant(node.inputs[0]) is not None:
            return False
        last, bias = node, None
        add = sole_consumer(node.outputs[0], "Add")
        if add is not None and (found := split_constant(add)) is not None and shape == shape_of(add.outputs[0]):
            bias = per_channel(found[1], shape, len(shape) - 1)
        if bias is not None and add is not None:
            last = add
        elif self.without_bias:
            bias = np.zeros(weight.shape[1], np.float32)
        else:
            return False
        value = edit.constant(f"{node.name}_bias", bias.astype(np.float32))
        if len(shape) == 2:
            edit.merge(node, last, [node.inputs[0], node.inputs[1], value], op_type="Gemm")
        else:
            call_gemm(edit, node, last, [node.inputs[0], node.inputs[1], value])
        return True


def per_channel(array: NDArray, shape: tuple[int, ...], axis: int) -> NDArray | None:
    """``array``, broadcast against ``shape``, as one number per element of ``axis``; None where it varies along another axis."""
    if array.ndim > len(shape):
        return None
    full = array.reshape([1] * (len(shape) - array.ndim) + list(array.shape))
    if any(size != 1 for place, size in enumerate(full.shape) if place != axis):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[axis],)).copy() if full.size in (1, shape[axis]) else None
