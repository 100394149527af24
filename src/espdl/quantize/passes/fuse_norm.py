"""The formulas of layer, RMS and L2 normalisation become one node each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.passes.tools import (
    Editor,
    NodePass,
    attribute,
    fused_name,
    input_of,
    integers,
    producer,
    scalar,
    shape_of,
    sole_consumer,
    split_constant,
)


class _Root(NamedTuple):
    """``numerator / sqrt(mean(squared ** 2, axes) + epsilon)``, ending in node ``last``."""

    numerator: ir.Value
    squared: ir.Value
    axes: list[int]
    epsilon: float
    last: ir.Node


class FuseLayerNorm(NodePass):
    """Fuses mean, difference, mean of squares, root and quotient into LayerNormalization, with the scale and shift after it.

    Networks exported before opset 17 have the formula in place of the node.

    Needs: axes that are the last ones, constant scale and shift.
    Leaves: LayerNormalization, named after its last node and writing that node's output; scale (ones if there was none) and shift
    have the shape of the normalised axes.
    """

    op_types = ("Sqrt",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        root = _match_root(node)
        x = _centred(root.squared, root.axes) if root is not None else None
        if root is None or x is None or _centred(root.numerator, root.axes) is not x:
            return False
        inner = _inner(x, root.axes)
        if inner is None:
            return False
        last, scale = _take(root.last, "Mul", inner)
        last, shift = _take(last, "Add", inner)
        inputs = [x, edit.constant(f"{last.name}_scale", np.ones(inner, np.float32) if scale is None else scale)]
        if shift is not None:
            inputs.append(edit.constant(f"{last.name}_shift", shift))
        attributes = {"axis": min(root.axes), "epsilon": root.epsilon, "stash_type": 1}
        edit.replace(last, "LayerNormalization", inputs, attributes, name=fused_name(last, "LayerNormalization"))
        return True


class FuseRMSNorm(NodePass):
    """Fuses mean of squares, root and quotient into RMSNormalization, with the scale after it (quantizer spec 4.2.8).

    Needs: :class:`FuseLayerNorm` ran; axes that are the last ones, a constant scale.
    Leaves: RMSNormalization, named after its last node and writing that node's output.
    """

    op_types = ("Sqrt",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        root = _match_root(node)
        if root is None or root.squared is not root.numerator:
            return False
        x, inner = root.squared, _inner(root.squared, root.axes)
        if inner is None:
            return False
        last, scale = _take(root.last, "Mul", inner)
        value = edit.constant(f"{last.name}_scale", np.ones(inner, np.float32) if scale is None else scale)
        attributes = {"axis": min(root.axes), "epsilon": root.epsilon, "stash_type": 1}
        edit.replace(last, "RMSNormalization", [x, value], attributes, name=fused_name(last, "RMSNormalization"))
        return True


class FuseLpNorm(NodePass):
    """Fuses ``x / max(norm(x), tiny)`` into LpNormalization, p 1 or 2 (quantizer spec 4.2.9).

    Needs: the norm keeps its one axis, and feeds the division alone.
    Leaves: LpNormalization, named after the division. Where the norm is below ``tiny`` the result differs: the network returns about
    zero, LpNormalization a vector of length 1, and the chip zero where all elements are zero.
    """

    op_types = ("ReduceL2", "ReduceL1")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        x = node.inputs[0]
        axes = _axes(node)
        if x is None or axes is None or len(axes) != 1 or not attribute(node, "keepdims", 1):
            return False
        following = sole_consumer(node.outputs[0])
        while following is not None and following.op_type in ("Clip", "Max", "Expand", "Add"):
            if following.op_type in ("Clip", "Max", "Add") and not _is_guard(following):
                return False
            following = sole_consumer(following.outputs[0])
        if following is None or following.op_type != "Div" or following.inputs[0] is not x:
            return False
        attributes = {"axis": axes[0], "p": 2 if node.op_type == "ReduceL2" else 1}
        edit.replace(following, "LpNormalization", [x], attributes, name=fused_name(following, "LpNormalization"))
        return True


def _is_guard(node: ir.Node) -> bool:
    """Whether a Clip, Max or Add only keeps a norm away from zero."""
    if node.op_type == "Clip":
        bound, top = scalar(input_of(node, 1)), input_of(node, 2)
        if top is not None and (scalar(top) or 0.0) < 1e9:
            return False
    else:
        found = split_constant(node)
        bound = float(found[1].reshape(-1)[0]) if found is not None and found[1].size == 1 else None
    return bound is not None and 0.0 <= bound <= 1e-4


def _match_root(node: ir.Node) -> _Root | None:
    total = producer(node.inputs[0], "Add")
    found = split_constant(total) if total is not None else None
    if found is not None and found[1].size == 1:
        mean, epsilon = producer(found[0], "ReduceMean"), float(found[1].reshape(-1)[0])
    else:
        mean, epsilon = producer(node.inputs[0], "ReduceMean"), 0.0
    if mean is None or not attribute(mean, "keepdims", 1):
        return None
    axes, squared = _axes(mean), _square_of(mean.inputs[0])
    if axes is None or squared is None:
        return None
    consumer = sole_consumer(node.outputs[0], "Div", "Reciprocal")
    if consumer is None:
        return None
    if consumer.op_type == "Div" and consumer.inputs[1] is node.outputs[0] and consumer.inputs[0] is not None:
        if scalar(consumer.inputs[0]) is None:
            return _Root(consumer.inputs[0], squared, axes, epsilon, consumer)
        if scalar(consumer.inputs[0]) != 1.0:
            return None
    elif consumer.op_type == "Div":
        return None
    times = sole_consumer(consumer.outputs[0], "Mul")
    if times is None:
        return None
    numerator = next((value for value in times.inputs if value is not None and value is not consumer.outputs[0]), None)
    return None if numerator is None else _Root(numerator, squared, axes, epsilon, times)


def _square_of(value: ir.Value | None) -> ir.Value | None:
    node = producer(value, "Pow", "Mul")
    if node is None:
        return None
    if node.op_type == "Pow":
        return node.inputs[0] if scalar(node.inputs[1]) == 2.0 else None
    return node.inputs[0] if node.inputs[0] is node.inputs[1] else None


def _centred(value: ir.Value, axes: list[int]) -> ir.Value | None:
    """x where ``value`` is ``x - mean(x, axes)``."""
    node = producer(value, "Sub")
    if node is None:
        return None
    mean = producer(node.inputs[1], "ReduceMean")
    if mean is None or mean.inputs[0] is not node.inputs[0] or not attribute(mean, "keepdims", 1) or _axes(mean) != axes:
        return None
    return node.inputs[0]


def _axes(node: ir.Node) -> list[int] | None:
    """Axes that a Reduce node works on, non-negative and in order."""
    shape, axes = shape_of(node.inputs[0]), integers(input_of(node, 1))
    if shape is None or axes is None:
        return None
    return sorted(axis % len(shape) for axis in axes)


def _inner(x: ir.Value, axes: list[int]) -> tuple[int, ...] | None:
    """Sizes of the normalised axes, None unless they are the last ones."""
    shape = shape_of(x)
    if shape is None or not axes or axes != list(range(len(shape) - len(axes), len(shape))):
        return None
    return shape[axes[0] :]


def _take(node: ir.Node, op_type: str, inner: Sequence[int]) -> tuple[ir.Node, NDArray | None]:
    """The Mul or Add of a constant over the normalised axes that alone follows ``node``, and that constant at full size."""
    following = sole_consumer(node.outputs[0], op_type)
    found = split_constant(following) if following is not None else None
    if following is None or found is None or shape_of(following.outputs[0]) != shape_of(node.outputs[0]):
        return node, None
    array = found[1]
    while array.ndim > len(inner) and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(inner):
        return node, None
    return following, np.ascontiguousarray(np.broadcast_to(array, tuple(inner)), dtype=np.float32)
