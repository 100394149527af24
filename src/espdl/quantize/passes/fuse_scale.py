"""A factor per channel after a layer becomes part of its weights."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.fold_batchnorm import fold_into
from espdl.quantize.passes.fuse_bias import per_channel
from espdl.quantize.passes.tools import Editor, NodePass, constant, producer, shape_of, sole_consumer, split_constant


class FuseScale(NodePass):
    """Takes Mul, and Div, by one constant per output channel into weight and bias of the Conv, ConvTranspose or Gemm before it.

    Needs: the layer has no other consumer and constant parameters.
    Leaves: the layer under its own name, writing the Mul's output.
    """

    op_types = ("Mul", "Div")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        found = split_constant(node)
        if found is None or (node.op_type == "Div" and constant(node.inputs[1]) is None):
            return False
        variable, array = found
        layer, shape = producer(variable, "Conv", "ConvTranspose", "Gemm"), shape_of(variable)
        if layer is None or shape is None or sole_consumer(variable) is not node or shape != shape_of(node.outputs[0]):
            return False
        factor = per_channel(array.astype(np.float64), shape, len(shape) - 1 if layer.op_type == "Gemm" else 1)
        if factor is None or (node.op_type == "Div" and not factor.all()):
            return False
        return fold_into(layer, node, 1 / factor if node.op_type == "Div" else factor, np.zeros_like(factor), edit)
