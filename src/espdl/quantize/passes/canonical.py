"""Axes, sizes and ranges in one form: explicit, non-negative, constant inputs."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.dl.module.contract import REDUCTIONS
from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, integers, shape_of

_AXIS_DEFAULT = {
    "Concat": 0,
    "Split": 0,
    "Gather": 0,
    "Softmax": -1,
    "LogSoftmax": -1,
    "LpNormalization": -1,
    "LayerNormalization": -1,
    "RMSNormalization": -1,
    "Flatten": 1,
}


class WriteAxes(NodePass):
    """Writes axes as numbers from 0, in every operator that has them, also where they were left out.

    Leaves: attribute ``axis`` present and non-negative; axes of Reduce, Squeeze and Unsqueeze as a constant input, non-negative, in order;
    no ``noop_with_empty_axes``.
    """

    op_types = (*_AXIS_DEFAULT, *REDUCTIONS, "Squeeze", "Unsqueeze")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape, result = shape_of(node.inputs[0]), shape_of(node.outputs[0])
        if shape is None or result is None:
            return False
        if node.op_type in _AXIS_DEFAULT:
            axis = attribute(node, "axis", _AXIS_DEFAULT[node.op_type])
            wanted = axis + len(shape) if axis < 0 else axis
            if "axis" in node.attributes and wanted == axis:
                return False
            node.attributes["axis"] = ir.AttrInt64("axis", wanted)
            return True
        value = input_of(node, 1)
        axes = integers(value)
        if value is not None and axes is None:
            return False
        if not axes and node.op_type in REDUCTIONS and attribute(node, "noop_with_empty_axes", 0):
            return edit.bypass(node, node.inputs[0]) if node.inputs[0] is not None else False
        rank = len(result) if node.op_type == "Unsqueeze" else len(shape)
        if axes is None:
            axes = [axis for axis in range(rank) if node.op_type != "Squeeze" or shape[axis] == 1]
        wanted_axes = sorted(axis % rank for axis in axes) if rank else []
        node.attributes.pop("noop_with_empty_axes", None)
        if value is not None and axes == wanted_axes:
            return False
        if value is None:
            node.resize_inputs(2)
        node.replace_input_with(1, edit.constant(f"{node.name}_axes", np.array(wanted_axes, np.int64)))
        return True


class WriteSizes(NodePass):
    """Writes the sizes that Reshape, Split, Slice and Pad work with in full.

    Leaves: Reshape with the very shape of its output; Split with sizes as input 1; Slice with starts, ends, axes and steps, within the
    bounds of the input; Pad with pads for every axis and no axes; Gather without negative constant indices.
    """

    op_types = ("Reshape", "Split", "Slice", "Pad", "Gather")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape, result = shape_of(node.inputs[0]), shape_of(node.outputs[0])
        if shape is None or result is None:
            return False
        if node.op_type == "Reshape":
            node.attributes.pop("allowzero", None)
            return _set(node, 1, list(result), edit)
        if node.op_type == "Split":
            parts = [shape_of(output) for output in node.outputs]
            axis = attribute(node, "axis", 0)
            node.attributes.pop("num_outputs", None)
            return _set(node, 1, [part[axis] for part in parts if part is not None], edit) if None not in parts else False
        if node.op_type == "Slice":
            return _slice(node, shape, edit)
        if node.op_type == "Pad":
            return _pad(node, shape, edit)
        indices = constant(input_of(node, 1))
        if indices is None or not (indices < 0).any():
            return False
        size = shape[attribute(node, "axis", 0)]
        node.replace_input_with(1, edit.constant(f"{node.name}_indices", np.where(indices < 0, indices + size, indices)))
        return True


def _set(node: ir.Node, index: int, numbers: list[int], edit: Editor) -> bool:
    """Gives ``node`` the list as constant input ``index`` unless it has it; says whether it changed."""
    value = input_of(node, index)
    if value is not None and integers(value) == numbers:
        return False
    if len(node.inputs) <= index:
        node.resize_inputs(index + 1)
    node.replace_input_with(index, edit.constant(f"{node.name}_input_{index}", np.array(numbers, np.int64)))
    return True


def _slice(node: ir.Node, shape: tuple[int, ...], edit: Editor) -> bool:
    starts, ends = integers(input_of(node, 1)), integers(input_of(node, 2))
    axes, steps = integers(input_of(node, 3)), integers(input_of(node, 4))
    if starts is None or ends is None or (axes is None and input_of(node, 3) is not None):
        return False
    if steps is None and input_of(node, 4) is not None:
        return False
    axes = [axis % len(shape) for axis in axes] if axes is not None else list(range(len(starts)))
    steps = steps or [1] * len(starts)
    if min(steps) > 0:
        sizes = [shape[axis] for axis in axes]
        starts = [min(max(start + size if start < 0 else start, 0), size) for start, size in zip(starts, sizes, strict=True)]
        ends = [min(max(end + size if end < 0 else end, 0), size) for end, size in zip(ends, sizes, strict=True)]
    modified = False
    for index, numbers in enumerate((starts, ends, axes, steps), start=1):
        modified |= _set(node, index, numbers, edit)
    return modified


def _pad(node: ir.Node, shape: tuple[int, ...], edit: Editor) -> bool:
    amounts, axes = integers(input_of(node, 1)), integers(input_of(node, 3))
    if amounts is None or axes is None:
        return False
    full = [0] * (2 * len(shape))
    for place, axis in enumerate(axes):
        full[axis % len(shape)] = amounts[place]
        full[axis % len(shape) + len(shape)] = amounts[place + len(axes)]
    node.resize_inputs(3)
    return _set(node, 1, full, edit) or True
