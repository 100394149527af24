"""Attention in the form of the chip: heads on an axis of their own, nothing said that is the default."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, shape_of

_SAYS_NOTHING = {"softcap": 0.0, "qk_matmul_output_mode": 0, "softmax_precision": 1}
_HEADS = ("q_num_heads", "kv_num_heads", "kv_num_heads")
_MASK = 3
_SWAP = [0, 2, 1, 3]


class TidyAttention(NodePass):
    """Writes Attention for Q, K and V of rank 4, and constant masks of 0 and -inf as truth values (quantizer spec 10.3, 10.4).

    Inputs of rank 3, [B, L, H D], get a Reshape and a Transpose each, and the output the way back.

    Leaves: no head counts, no attributes at their defaults.
    """

    op_types = ("Attention",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        modified = self._mask(node, edit) | self._drop(node, *(n for n, v in _SAYS_NOTHING.items() if attribute(node, n) == v))
        shapes = [shape_of(input_of(node, index)) for index in range(3)]
        ranks = {None if shape is None else len(shape) for shape in shapes}
        if ranks == {4}:
            heads = {name: shape[1] for name, shape in zip(_HEADS, shapes, strict=True) if shape is not None}
            return modified | self._drop(node, *(name for name, count in heads.items() if attribute(node, name) == count))
        return (ranks == {3} and self._on_heads(node, edit)) or modified

    def _mask(self, node: ir.Node, edit: Editor) -> bool:
        mask = constant(input_of(node, _MASK))
        if mask is None or mask.dtype.kind != "f" or not np.isin(mask, (0.0, -np.inf)).all():
            return False
        node.replace_input_with(_MASK, edit.constant(f"{node.name}_mask", mask == 0))
        return True

    def _drop(self, node: ir.Node, *names: str) -> bool:
        found = [name for name in names if name in node.attributes]
        for name in found:
            del node.attributes[name]
        return bool(found)

    def _on_heads(self, node: ir.Node, edit: Editor) -> bool:
        result = shape_of(node.outputs[0])
        counts = [attribute(node, name, 0) for name in _HEADS]
        if result is None or len(node.outputs) > 1 or any(value is not None for value in node.inputs[_MASK + 1 :]):
            return False
        operands = []
        for value, count, letter in zip(node.inputs[:3], counts, "qkv", strict=True):
            shape = shape_of(value)
            assert shape is not None
            if count < 1 or shape[2] % count:
                return False
            operands.append((value, np.array([*shape[:2], count, shape[2] // count], np.int64), letter))
        inputs: list[ir.Value | None] = []
        for value, sizes, letter in operands:
            split = edit.before(
                node, "Reshape", [value, edit.constant(f"{node.name}_{letter}_shape", sizes)], name=f"{node.name}_{letter}"
            )
            inputs.append(edit.before(node, "Transpose", [split], {"perm": _SWAP}, name=f"{node.name}_{letter}_heads"))
        kept = {name: attr.value for name, attr in node.attributes.items() if name not in _HEADS}
        by_heads = edit.before(node, "Attention", [*inputs, *node.inputs[3:]], kept, name=f"{node.name}_by_heads")
        joined = edit.before(node, "Transpose", [by_heads], {"perm": _SWAP}, name=f"{node.name}_joined")
        edit.replace(node, "Reshape", [joined, edit.constant(f"{node.name}_shape", np.array(result, np.int64))])
        return True
