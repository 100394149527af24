"""Attention that the chip's kernels do not take becomes MatMul, Softmax and MatMul (quantizer spec 10.2, 10.3)."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from espdl.dl.module.attention import LARGEST_HEAD, LARGEST_KEYS, MASK
from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, shape_of

_KNOWN = {"scale", "is_causal", "softcap", "q_num_heads", "kv_num_heads"}


class ExpandAttention(NodePass):
    """Takes Attention apart whose heads, number of keys or soft cap are beyond the chip.

    Shared heads of K and V are repeated by Reshape, Concat and Reshape. A causal or constant mask becomes an Add of 0 and -inf, which
    runs in float, as does the Softmax behind it.

    Needs: :class:`TidyAttention` ran.
    Leaves alone: Attention that fits, and what cannot be written so: caches of keys, computed masks of truth values, other attributes.
    """

    op_types = ("Attention",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        q, k, v = (shape_of(input_of(node, index)) for index in range(3))
        if q is None or k is None or v is None or {len(q), len(k), len(v)} != {4}:
            return False
        if k == v and q[3] <= LARGEST_HEAD and k[2] <= LARGEST_KEYS and not attribute(node, "softcap", 0.0):
            return False
        mask = input_of(node, MASK)
        computed_truth = mask is not None and constant(mask) is None and mask.dtype is ir.DataType.BOOL
        odd = node.attributes.keys() - _KNOWN
        if computed_truth or odd or len(node.outputs) > 1 or any(node.inputs[MASK + 1 :]) or not k[1] or q[1] % k[1]:
            return False
        self._expand(node, q[1] // k[1], (*q[:3], k[2]), q[3], edit)
        return True

    def _expand(self, node: ir.Node, repeats: int, scores: tuple[int, ...], depth: int, edit: Editor) -> None:
        name = node.name or "Attention"
        k, v = (_repeated(node, index, repeats, edit) for index in (1, 2))
        turned = edit.before(node, "Transpose", [k], {"perm": [0, 1, 3, 2]}, name=f"{name}_k_transposed")
        value = edit.before(node, "MatMul", [node.inputs[0], turned], name=f"{name}_scores")
        value = _times(node, value, attribute(node, "scale") or 1 / math.sqrt(depth), "scaled", edit)
        cap = attribute(node, "softcap", 0.0)
        if cap:
            value = _times(node, value, 1 / cap, "over_cap", edit)
            value = edit.before(node, "Tanh", [value], name=f"{name}_tanh")
            value = _times(node, value, cap, "capped", edit)
        added = _added(node, scores, edit)
        if added is not None:
            value = edit.before(node, "Add", [value, added], name=f"{name}_masked")
        value = edit.before(node, "Softmax", [value], {"axis": 3}, name=f"{name}_softmax")
        edit.replace(node, "MatMul", [value, v], name=name)


def _repeated(node: ir.Node, index: int, repeats: int, edit: Editor) -> ir.Value | None:
    """K or V with every head as often as heads of Q share it."""
    value = node.inputs[index]
    if repeats == 1:
        return value
    batch, heads, length, depth = shape_of(value) or ()
    letter = "qkv"[index]
    apart = np.array([batch * heads, 1, length, depth], np.int64)
    joined = np.array([batch, heads * repeats, length, depth], np.int64)
    apart_shape, joined_shape = (
        edit.constant(f"{node.name}_{letter}_{what}", sizes) for what, sizes in (("apart", apart), ("joined", joined))
    )
    single = edit.before(node, "Reshape", [value, apart_shape], name=f"{node.name}_{letter}_heads")
    several = edit.before(node, "Concat", [single] * repeats, {"axis": 1}, name=f"{node.name}_{letter}_repeated")
    return edit.before(node, "Reshape", [several, joined_shape], name=f"{node.name}_{letter}_all")


def _times(node: ir.Node, value: ir.Value, factor: float, what: str, edit: Editor) -> ir.Value:
    number = edit.constant(f"{node.name}_{what}_factor", np.array(factor, np.float32))
    return edit.before(node, "Mul", [value, number], name=f"{node.name}_{what}")


def _added(node: ir.Node, scores: tuple[int, ...], edit: Editor) -> ir.Value | None:
    """What is added to the scores: the mask, and -inf where a query must not look ahead."""
    mask = input_of(node, MASK)
    given = constant(mask)
    seen = np.tri(scores[2], scores[3], dtype=bool) if attribute(node, "is_causal", 0) else None
    if given is None:
        if seen is None or mask is None:
            return mask if seen is None else edit.constant(f"{node.name}_causal", _truth(seen))
        causal = edit.constant(f"{node.name}_causal", _truth(seen))
        return edit.before(node, "Add", [mask, causal], name=f"{node.name}_mask")
    added = _truth(given) if given.dtype == np.bool_ else given.astype(np.float32)
    return edit.constant(f"{node.name}_added", added if seen is None else np.where(seen, added, np.float32(-np.inf)))


def _truth(shown: np.ndarray) -> np.ndarray:
    return np.where(shown, np.float32(0), np.float32(-np.inf)).astype(np.float32)
