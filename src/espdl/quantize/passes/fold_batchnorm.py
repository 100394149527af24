"""BatchNormalization becomes part of the layer before it, or a layer of its own that the chip has."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.passes.infer import describe
from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, producer, shape_of, sole_consumer


class FoldBatchNorm(NodePass):
    """Folds BatchNormalization into the Conv, ConvTranspose or Gemm that alone feeds it.

    ``k = scale / sqrt(var + epsilon)``; weights of output channel c are multiplied by k[c], the bias becomes
    ``(bias - mean) * k + shift`` (quantizer spec 4.2.5). Computed in binary64.

    Needs: constant statistics, Gemm with alpha = beta = 1.
    Leaves: the layer under its own name, writing the normalisation's output.

    Raises:
        EspdlError: a variance is negative.
    """

    op_types = ("BatchNormalization",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        layer = producer(node.inputs[0], "Conv", "ConvTranspose", "Gemm")
        factors = batchnorm_factors(node)
        if layer is None or factors is None or sole_consumer(layer.outputs[0]) is not node:
            return False
        return fold_into(layer, node, *factors, edit)


class IsolatedBatchNorm(NodePass):
    """Writes a BatchNormalization that no layer takes in as a depthwise 1x1 Conv, of the rank of its input.

    On rank 2, where there is no Conv, it becomes Mul and Add.

    Needs: :class:`FoldBatchNorm` ran.
    Leaves: no BatchNormalization with constant statistics.
    """

    op_types = ("BatchNormalization",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        factors, shape = batchnorm_factors(node), shape_of(node.inputs[0])
        if factors is None or shape is None:
            return False
        scale, shift = (array.astype(np.float32) for array in factors)
        if len(shape) == 2:
            scaled = edit.before(node, "Mul", [node.inputs[0], edit.constant(f"{node.name}_scale", scale)])
            edit.replace(node, "Add", [scaled, edit.constant(f"{node.name}_shift", shift)])
            return True
        spatial = len(shape) - 2
        weight = edit.constant(f"{node.name}_weight", scale.reshape(-1, 1, *[1] * spatial))
        attributes = {
            "kernel_shape": [1] * spatial,
            "strides": [1] * spatial,
            "dilations": [1] * spatial,
            "pads": [0] * (2 * spatial),
            "group": shape[1],
        }
        edit.replace(node, "Conv", [node.inputs[0], weight, edit.constant(f"{node.name}_bias", shift)], attributes)
        return True


def batchnorm_factors(node: ir.Node) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(k, shift) of ``y = k * x + shift`` per channel; None where the statistics are not constant or are trained."""
    if attribute(node, "training_mode", 0):
        return None
    arrays: list[NDArray[Any]] = []
    for index in range(1, 5):
        array = constant(input_of(node, index))
        if array is None:
            return None
        arrays.append(array.astype(np.float64).reshape(-1))
    gamma, beta, mean, variance = arrays
    epsilon = float(attribute(node, "epsilon", 1e-5))
    if (variance + epsilon <= 0).any():
        raise EspdlError(
            "a variance is negative", where=describe(node), hint="the statistics of this layer are broken in the file"
        )
    factor = gamma / np.sqrt(variance + epsilon)
    return factor, beta - mean * factor


def fold_into(layer: ir.Node, last: ir.Node, factor: NDArray[np.float64], shift: NDArray[np.float64], edit: Editor) -> bool:
    """Multiplies the output channels of ``layer`` by ``factor``, adds ``shift``, and lets it write the output of ``last``.

    Returns False where the layer's parameters are not constant.
    """
    weight, old_bias = constant(input_of(layer, 1)), input_of(layer, 2)
    bias = constant(old_bias)
    if weight is None or (old_bias is not None and bias is None):
        return False
    new_bias = shift if bias is None else bias.astype(np.float64).reshape(-1) * factor + shift
    new_weight = scale_output_channels(layer, weight, factor)
    name = layer.name or layer.op_type
    inputs = [
        layer.inputs[0],
        edit.constant(f"{name}_weight", new_weight.astype(np.float32)),
        edit.constant(f"{name}_bias", new_bias.astype(np.float32)),
    ]
    edit.merge(layer, last, inputs)
    return True


def scale_output_channels(layer: ir.Node, weight: NDArray[Any], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """``weight`` in the ONNX layout of ``layer`` with output channel c multiplied by ``factor[c]``."""
    wide = weight.astype(np.float64)
    if layer.op_type == "Conv":
        return wide * factor.reshape(-1, *[1] * (wide.ndim - 1))
    if layer.op_type == "Gemm":
        return wide * (factor[:, None] if attribute(layer, "transB", 0) else factor[None, :])
    group = attribute(layer, "group", 1)
    split = wide.reshape(group, wide.shape[0] // group, *wide.shape[1:])  # ConvTranspose: [Cin, Cout / group, ...]
    return (split * factor.reshape(group, 1, -1, *[1] * (wide.ndim - 2))).reshape(wide.shape)
