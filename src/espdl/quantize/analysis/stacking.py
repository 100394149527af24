"""Which operators compute many rows at once: several runs of a network, stacked on the first axis of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import DOMAIN, attribute, constant, input_of, integers, shape_of

_ONE_BY_ONE = frozenset(
    {
        *(
            "Relu",
            "LeakyRelu",
            "Elu",
            "Selu",
            "Celu",
            "Gelu",
            "Swish",
            "HardSwish",
            "Mish",
            "Sigmoid",
            "HardSigmoid",
            "Tanh",
            "Softplus",
        ),
        *(
            "Softsign",
            "Erf",
            "Exp",
            "Log",
            "Sqrt",
            "Abs",
            "Neg",
            "Floor",
            "Ceil",
            "Round",
            "Reciprocal",
            "Sin",
            "Cos",
            "Cast",
            "Identity",
        ),
        *(
            "Not",
            "Sign",
            "Clip",
            "Add",
            "Sub",
            "Mul",
            "Div",
            "Pow",
            "Mod",
            "Max",
            "Min",
            "Sum",
            "Mean",
            "PRelu",
            "And",
            "Or",
            "Xor",
        ),
        *("Where", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"),
    }
)
_IMAGES = frozenset(
    {
        *(
            "Conv",
            "ConvTranspose",
            "MaxPool",
            "AveragePool",
            "LpPool",
            "GlobalAveragePool",
            "GlobalMaxPool",
            "BatchNormalization",
        ),
        *("InstanceNormalization", "DepthToSpace", "SpaceToDepth", "InsertZeros"),
    }
)
_ALONG_AXIS = frozenset(
    {"Softmax", "LogSoftmax", "LpNormalization", "LayerNormalization", "RMSNormalization", "Concat", "Split", "Gather"}
)


def keeps_rows(node: ir.Node) -> bool:
    """Whether the operator treats entries of the first axis alike and apart, so that rows may be stacked there.

    False is always right: such an operator is run row by row.
    """
    variables = [value for value in node.inputs if value is not None and constant(value) is None]
    shapes = [shape_of(value) for value in (*variables, *node.outputs)]
    if node.domain not in ("", DOMAIN) or any(not shape for shape in shapes) or len({shape[0] for shape in shapes if shape}) != 1:
        return False
    if node.op_type in _ONE_BY_ONE:
        return _one_by_one(node, variables)
    if node.op_type in _IMAGES:
        return variables == [node.inputs[0]]
    if node.op_type in _ALONG_AXIS:
        return _along_axis(node, variables)
    rule = _RULES.get(node.op_type)
    return rule is not None and rule(node, variables)


def broadcasts(node: ir.Node, value: ir.Value) -> bool:
    """Whether an input without rows may stand beside inputs with rows: it is repeated by the operator itself."""
    return node.op_type in _ONE_BY_ONE and (shape_of(value) or (0,))[0] == 1


def _one_by_one(node: ir.Node, variables: list[ir.Value]) -> bool:
    rank = len(shape_of(node.outputs[0]) or ())
    if any(len(shape_of(value) or ()) != rank for value in variables):
        return False
    arrays = [array for value in node.inputs if (array := constant(value)) is not None]
    return all(array.ndim < rank or array.shape[0] == 1 for array in arrays)


def _along_axis(node: ir.Node, variables: list[ir.Value]) -> bool:
    rank = len(shape_of(variables[0]) or ())
    if node.op_type == "Concat" and len(variables) != len(node.inputs):
        return False
    if node.op_type != "Concat" and variables != [node.inputs[0]]:
        return False
    default = 0 if node.op_type in ("Split", "Gather") else -1
    return attribute(node, "axis", default) % rank != 0


def _gemm(node: ir.Node, variables: list[ir.Value]) -> bool:
    addend = constant(input_of(node, 2))
    return (
        variables == [node.inputs[0]]
        and not attribute(node, "transA", 0)
        and (addend is None or addend.ndim < 2 or addend.shape[0] == 1)
    )


def _matmul(node: ir.Node, variables: list[ir.Value]) -> bool:
    ranks = [len(shape_of(value) or ()) for value in node.inputs]
    if len(variables) == 2:
        return ranks[0] == ranks[1] >= 3
    return variables == [node.inputs[0]] and ranks[0] >= 2 and ranks[1] == 2


def _transpose(node: ir.Node, variables: list[ir.Value]) -> bool:
    order = attribute(node, "perm")
    return order is not None and order[0] == 0


def _axes_given(node: ir.Node, variables: list[ir.Value]) -> bool:
    """Squeeze, Unsqueeze, reductions: the axes are constants other than the first."""
    axes = integers(input_of(node, 1)) or attribute(node, "axes")
    rank = max(len(shape_of(value) or ()) for value in (node.inputs[0], node.outputs[0]))
    return bool(axes) and variables == [node.inputs[0]] and all(axis % rank != 0 for axis in axes or ())


def _slice(node: ir.Node, variables: list[ir.Value]) -> bool:
    axes = integers(input_of(node, 3))
    rank = len(shape_of(node.inputs[0]) or ())
    return axes is not None and variables == [node.inputs[0]] and all(axis % rank != 0 for axis in axes)


def _pad(node: ir.Node, variables: list[ir.Value]) -> bool:
    pads = integers(input_of(node, 1))
    return (
        input_of(node, 3) is None and variables == [node.inputs[0]] and pads is not None and pads[0] == pads[len(pads) // 2] == 0
    )


def _resize(node: ir.Node, variables: list[ir.Value]) -> bool:
    scales = constant(input_of(node, 2))
    whole = not attribute(node, "axes") and attribute(node, "coordinate_transformation_mode") != "tf_crop_and_resize"
    return whole and variables == [node.inputs[0]] and scales is not None and scales.size > 0 and scales.reshape(-1)[0] == 1


def _reshape(node: ir.Node, variables: list[ir.Value]) -> bool:
    return variables == [node.inputs[0]] and 0 not in (shape_of(node.outputs[0]) or ())


def _flatten(node: ir.Node, variables: list[ir.Value]) -> bool:
    return attribute(node, "axis", 1) == 1


def _attention(node: ir.Node, variables: list[ir.Value]) -> bool:
    mask = constant(input_of(node, 3))
    return variables == list(node.inputs[:3]) and (mask is None or mask.ndim < 4 or mask.shape[0] == 1)


_RULES: Mapping[str, Callable[[ir.Node, list[ir.Value]], bool]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Transpose": _transpose,
    "Slice": _slice,
    "Pad": _pad,
    "Resize": _resize,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Attention": _attention,
    **dict.fromkeys(
        ("Squeeze", "Unsqueeze", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1"), _axes_given
    ),
    **dict.fromkeys(("ReduceProd", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"), _axes_given),
}


def stacked_constants(node: ir.Node) -> dict[int, np.ndarray]:
    """Constant inputs that must be others where rows are stacked, by index."""
    if node.op_type != "Reshape":
        return {}
    return {1: np.array([0, *(shape_of(node.outputs[0]) or ())[1:]], np.int64)}
