"""Transposes in a row become one."""

from __future__ import annotations

import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, producer, shape_of


class FuseTransposes(NodePass):
    """Fuses a Transpose with the Transpose before it, and writes ``perm`` in full.

    The first stays where others read it. A fused one that keeps the order is removed by :class:`RemoveNoOps`.
    """

    op_types = ("Transpose",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        perm = _perm(node)
        if perm is None:
            return False
        modified = attribute(node, "perm") != perm
        first = producer(node.inputs[0], "Transpose")
        inner = _perm(first) if first is not None else None
        if first is not None and inner is not None:
            node.replace_input_with(0, first.inputs[0])
            perm, modified = [inner[axis] for axis in perm], True
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
        return modified


def _perm(node: ir.Node) -> list[int] | None:
    shape = shape_of(node.inputs[0])
    if shape is None:
        return None
    return attribute(node, "perm") or list(range(len(shape)))[::-1]
