"""DepthToSpace and SpaceToDepth in the channel order of the chip."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, shape_of


class LegaliseDepth(NodePass):
    """Rewrites the channel orders that the chip does not have (runtime spec 3.13).

    DepthToSpace in mode DCR becomes a Gather that reorders the channels and mode CRD. SpaceToDepth of several channels becomes one
    strided Slice per position in the block, and a Concat.

    Leaves: DepthToSpace in mode CRD, SpaceToDepth of one channel.
    """

    op_types = ("DepthToSpace", "SpaceToDepth")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape, block = shape_of(node.inputs[0]), attribute(node, "blocksize", 0)
        if shape is None or len(shape) != 4 or block < 1:
            return False
        if node.op_type == "DepthToSpace":
            return self._depth_to_space(node, shape[1], block, edit)
        if shape[1] == 1:
            return False
        parts = []
        for row, column in itertools.product(range(block), repeat=2):
            name = f"{node.name}_{row}_{column}"
            lists = (("starts", [row, column]), ("ends", list(shape[2:])), ("axes", [2, 3]), ("steps", [block, block]))
            constants = [edit.constant(f"{name}_{key}", np.array(numbers, np.int64)) for key, numbers in lists]
            parts.append(edit.before(node, "Slice", [node.inputs[0], *constants], name=name))
        edit.replace(node, "Concat", parts, {"axis": 1})
        return True

    def _depth_to_space(self, node: ir.Node, channels: int, block: int, edit: Editor) -> bool:
        if attribute(node, "mode", "DCR") == "CRD":
            return False
        order = np.arange(channels).reshape(block * block, channels // block**2).T.reshape(-1)
        reordered = edit.before(node, "Gather", [node.inputs[0], edit.constant(f"{node.name}_channels", order)], {"axis": 1})
        edit.replace(node, "DepthToSpace", [reordered], {"blocksize": block, "mode": "CRD"})
        return True
