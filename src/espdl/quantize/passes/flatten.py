"""Reshape to a matrix becomes Flatten."""

from __future__ import annotations

import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, shape_of


class ReshapeToFlatten(NodePass):
    """Writes a Reshape or Squeeze from [1, ...] of rank above 2 to [1, K] as Flatten: exporters write either, the chip's result is one."""

    op_types = ("Reshape", "Squeeze")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape, result = shape_of(node.inputs[0]), shape_of(node.outputs[0])
        if shape is None or result is None or len(shape) < 3 or len(result) != 2 or shape[0] != 1 or result[0] != 1:
            return False
        edit.replace(node, "Flatten", [node.inputs[0]], {"axis": 1})
        return True
