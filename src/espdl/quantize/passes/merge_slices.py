"""Slices that cut a tensor into consecutive parts become one Split."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, input_of, integers, shape_of


class MergeSlices(NodePass):
    """Merges the Slices of one value that together are all of it, along one axis, into a Split.

    Exporters before opset 18 write a split in halves this way.

    Needs: :class:`WriteSizes` ran (starts and ends within the bounds).
    Leaves: Split with sizes as input 1, named after the first Slice; the outputs keep their names.
    """

    op_types = ("Slice",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        source, shape = node.inputs[0], shape_of(node.inputs[0])
        own = _part(node)
        if source is None or shape is None or own is None:
            return False
        axis = own[0]
        parts = []
        for consumer in dict.fromkeys(source.consumers()):
            part = _part(consumer) if consumer.op_type == "Slice" and consumer.domain == "" else None
            if part is not None and part[0] == axis and consumer.inputs[0] is source:
                parts.append((part[1], part[2], consumer))
        parts.sort(key=lambda item: item[:2])
        edges = [0, *(end for _, end, _ in parts)]
        if len(parts) < 2 or [start for start, _, _ in parts] != edges[:-1] or edges[-1] != shape[axis]:
            return False
        sizes = edit.constant(f"{node.name}_split", np.diff(edges).astype(np.int64))
        edit.replace_many([item[2] for item in parts], "Split", [source, sizes], {"axis": axis}, place=node)
        return True


def _part(node: ir.Node) -> tuple[int, int, int] | None:
    """(axis, start, end) of a Slice along one axis with step 1."""
    starts, ends, axes, steps = (integers(input_of(node, index)) for index in range(1, 5))
    if starts is None or ends is None or axes is None or steps != [1] or len(axes) != 1:
        return None
    return axes[0], starts[0], ends[0]
