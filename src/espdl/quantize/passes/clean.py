"""Removes nodes that do nothing at inference."""

from __future__ import annotations

import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, constant, input_of, shape_of


class RemoveNoOps(NodePass):
    """Removes Identity, Dropout, Cast to the same type, and nodes that leave their input as it is.

    The latter: Reshape, Expand, Flatten, Squeeze and Unsqueeze to the same shape, Transpose in order, Slice of everything, Pad by
    nothing, Concat and Sum of one, Resize to the same size.

    Leaves: an Identity only between a graph input (or a constant) and a graph output, where ONNX wants a node; any other node there
    becomes one.
    """

    op_types = (
        "Identity",
        "Dropout",
        "Cast",
        "Reshape",
        "Expand",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Pad",
        "Concat",
        "Sum",
        "Max",
        "Min",
        "Resize",
        "AveragePool",
        "MaxPool",
    )

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        source = _unchanged(node)
        if source is None or any(extra.uses() or extra.is_graph_output() for extra in node.outputs[1:]):
            return False
        if edit.bypass(node, source):
            return True
        if node.op_type == "Identity":
            return False
        edit.replace(node, "Identity", [source])
        return True


def _unchanged(node: ir.Node) -> ir.Value | None:
    """The input that the first output of ``node`` always equals, None if there is none."""
    source, output, kind = input_of(node, 0), node.outputs[0], node.op_type
    if source is None or kind in ("Identity", "Dropout"):
        return source
    if kind == "Cast":
        return source if source.dtype is not None and source.dtype == output.dtype else None
    if kind in ("Concat", "Sum", "Max", "Min"):
        return source if len(node.inputs) == 1 else None
    shape = shape_of(source)
    if shape is None or shape != shape_of(output):
        return None
    if kind == "Transpose":
        perm = node.attributes.get("perm")
        moved = [axis for axis in (perm.as_ints() if perm else range(len(shape))[::-1]) if shape[axis] != 1]
        return source if moved == sorted(moved) else None
    if kind == "Slice":
        steps = constant(input_of(node, 4))
        return source if steps is None or (steps > 0).all() else None
    if kind == "Pad":
        pads = constant(input_of(node, 1))
        return source if pads is not None and not pads.any() else None
    if kind in ("AveragePool", "MaxPool"):
        kernel = node.attributes.get("kernel_shape")
        window_pads = node.attributes.get("pads")
        return source if kernel and set(kernel.as_ints()) == {1} and not (window_pads and any(window_pads.as_ints())) else None
    if kind == "Resize":
        roi = node.attributes.get("coordinate_transformation_mode")
        return source if roi is None or roi.as_string() != "tf_crop_and_resize" else None
    return source


class RemoveNeutral(NodePass):
    """Removes Add and Sub of 0, Mul and Div by 1.

    Needs: to run after the fusions, whose patterns hold such nodes where a scale or a bias was never trained.
    """

    op_types = ("Add", "Sub", "Mul", "Div")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        neutral = 0.0 if node.op_type in ("Add", "Sub") else 1.0
        for index in (1, 0) if node.op_type in ("Add", "Mul") else (1,):
            other, array = node.inputs[1 - index], constant(node.inputs[index])
            if array is None or other is None or not (array == neutral).all():
                continue
            shape = shape_of(other)
            if shape is not None and shape == shape_of(node.outputs[0]):
                return edit.bypass(node, other)
        return False
