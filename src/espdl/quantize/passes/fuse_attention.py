"""Softmax-weighted sums written as MatMul, Softmax and MatMul become Attention (quantizer spec 10.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dl.module.attention import LARGEST_HEAD, LARGEST_KEYS
from espdl.quantize.passes.tools import (
    Editor,
    NodePass,
    attribute,
    constant,
    fused_name,
    is_only_for,
    producer,
    scalar,
    shape_of,
    sole_consumer,
    split_constant,
)

HIDDEN = -1e9
"""A score that much lower has no weight: exporters write the lowest float for it, or -inf."""


@dataclass
class _Scores:
    """What lies between the two products: their node, the factor on them, and what is added."""

    product: ir.Node
    scale: float = 1.0
    mask: ir.Value | NDArray[np.float32] | None = None


class FuseAttention(NodePass):
    """Fuses ``softmax(scale * Q K^T + mask) V`` into Attention.

    Q, K and V have rank 4, [B, H, L, D], or 3, [N, L, D], which is taken for one batch of N heads. The factor may be written as Mul or Div
    behind the product or on Q and K; the mask as an Add, or a Where of a constant condition and -inf.

    Needs: what lies between feeds the formula alone; Q, K and V computed, with as many heads; heads and keys within the chip's limits.
    Leaves: Attention with attribute ``scale``, named after the Softmax and writing the last MatMul's output; K brought back from K^T by a
    Transpose, which :class:`FuseTransposes` joins with the one that made it.
    """

    op_types = ("Softmax",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        rank = len(shape_of(node.outputs[0]) or ())
        last = sole_consumer(node.outputs[0], "MatMul")
        scores = _scores(node)
        if rank not in (3, 4) or attribute(node, "axis", -1) % rank != rank - 1 or last is None or scores is None:
            return False
        if last.inputs[0] is not node.outputs[0]:
            return False
        q, k, v = scores.product.inputs[0], scores.product.inputs[1], last.inputs[1]
        if any(value is None or constant(value) is not None for value in (q, k, v)):
            return False
        q, q_scale = _unscaled(q)
        k, k_scale = _unscaled(k)
        q_shape, k_shape, v_shape = (shape_of(value) or () for value in (q, k, v))
        k_shape = (*k_shape[:-2], k_shape[-1], k_shape[-2])
        if len(q_shape) != rank or k_shape != v_shape or q_shape[:-2] != k_shape[:-2] or q_shape[-1] != k_shape[-1]:
            return False
        if q_shape[-1] > LARGEST_HEAD or k_shape[-2] > LARGEST_KEYS:
            return False
        swapped = [*range(rank - 2), rank - 1, rank - 2]
        name = fused_name(node, "Attention")
        operands = [q, edit.before(last, "Transpose", [k], {"perm": swapped}, name=f"{name}_k"), v]
        if rank == 3:
            operands = [
                edit.before(last, "Reshape", [value, edit.constant(f"{name}_{letter}_shape", np.array([1, *shape], np.int64))])
                for value, letter, shape in zip(operands, "qkv", (q_shape, k_shape, v_shape), strict=True)
            ]
        if scores.mask is not None:
            mask = scores.mask
            operands.append(mask if isinstance(mask, ir.Value) else edit.constant(f"{name}_mask", mask))
        attributes = {"scale": scores.scale * q_scale * k_scale}
        if rank == 4:
            edit.replace(last, "Attention", operands, attributes, name=name)
            return True
        result = edit.before(last, "Attention", operands, attributes, name=name)
        shape = np.array(shape_of(last.outputs[0]), np.int64)
        edit.replace(last, "Reshape", [result, edit.constant(f"{name}_shape", shape)], name=f"{name}_joined")
        return True


def _scores(softmax: ir.Node) -> _Scores | None:
    """Reads what a Softmax takes, from back to front: a mask, a factor, the product."""
    found = _Scores(softmax)
    value, reader = softmax.inputs[0], softmax
    masked = _masked(value, reader)
    if masked is not None:
        found.mask, value, reader = masked
    node = producer(value, "Mul", "Div")
    if node is not None and value is not None and is_only_for(value, reader):
        inner, number = _scaled(node)
        if inner is None or number <= 0:
            return None
        found.scale, value, reader = number, inner, node
    product = producer(value, "MatMul")
    if product is None or value is None or not is_only_for(value, reader):
        return None
    found.product = product
    return found


def _masked(value: ir.Value | None, reader: ir.Node) -> tuple[ir.Value | NDArray[np.float32], ir.Value, ir.Node] | None:
    """Mask, scores and the node that joins them, where ``value`` is a masked score."""
    node = producer(value, "Add", "Where")
    scores = shape_of(value)
    if node is None or value is None or scores is None or not is_only_for(value, reader):
        return None
    if node.op_type == "Where":
        condition, kept, filled = node.inputs
        shown = constant(condition)
        level, inner = scalar(filled), kept
        if level is None:
            level, inner = scalar(kept), filled
            shown = None if shown is None else ~shown
        if shown is None or level is None or level > HIDDEN or inner is None or shape_of(inner) != scores:
            return None
        return _hidden(np.where(shown, np.float32(0), np.float32(level)), scores), inner, node
    split = split_constant(node)
    if split is not None:
        inner, added = split
        if shape_of(inner) != scores or added.dtype.kind != "f" or added.ndim > len(scores):
            return None
        return _hidden(added.astype(np.float32), scores), inner, node
    # Of two computed addends the scores are the one that comes from a product.
    for inner, mask in (tuple(node.inputs), tuple(reversed(node.inputs))):
        if producer(inner, "MatMul", "Mul", "Div") is None or inner is None or mask is None or shape_of(inner) != scores:
            continue
        if mask.dtype is ir.DataType.FLOAT and len(shape_of(mask) or (*scores, 1)) <= len(scores):
            return mask, inner, node
    return None


def _hidden(mask: NDArray[np.float32], scores: tuple[int, ...]) -> NDArray[np.float32]:
    """-inf for entries that have no weight; a row without others has equal weights and is left as it is."""
    hidden = mask <= HIDDEN
    if np.broadcast_to(hidden, scores).all(axis=-1).any():
        return mask
    return np.where(hidden, np.float32(-np.inf), mask)


def _unscaled(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """What is multiplied by a positive number, and the number."""
    node = producer(value, "Mul", "Div")
    if node is not None:
        inner, number = _scaled(node)
        if inner is not None and number > 0 and shape_of(inner) == shape_of(value):
            return inner, number
    return value, 1.0


def _scaled(node: ir.Node) -> tuple[ir.Value | None, float]:
    split = split_constant(node)
    if split is None or split[1].size != 1 or (node.op_type == "Div" and split[0] is not node.inputs[0]):
        return None, 0.0
    number = float(split[1].reshape(-1)[0])
    if node.op_type == "Div":
        number = 1 / number if number else 0.0
    return split[0], number if math.isfinite(number) else 0.0
