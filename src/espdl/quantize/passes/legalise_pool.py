"""Poolings as the chip has them."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, input_of, integers, shape_of


class GlobalPool(NodePass):
    """ReduceMean over all spatial axes becomes GlobalAveragePool; GlobalMaxPool, which the chip lacks, becomes ReduceMax.

    Needs: axes as a constant input, rank 3 or 4, ``keepdims``.
    """

    op_types = ("ReduceMean", "GlobalMaxPool")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape = shape_of(node.inputs[0])
        if shape is None or len(shape) not in (3, 4):
            return False
        spatial = list(range(2, len(shape)))
        if node.op_type == "GlobalMaxPool":
            edit.replace(
                node, "ReduceMax", [node.inputs[0], edit.constant(f"{node.name}_axes", np.array(spatial))], {"keepdims": 1}
            )
            return True
        axes = integers(input_of(node, 1))
        if axes is None or sorted(axis % len(shape) for axis in axes) != spatial or not attribute(node, "keepdims", 1):
            return False
        edit.replace(node, "GlobalAveragePool", [node.inputs[0]])
        return True


class CountedPool(NodePass):
    """AveragePool that does not count its pads becomes one that does, times a constant.

    The chip always divides by the whole window (runtime spec 3.10). Each output position gets the factor window / counted elements. With
    ``ceil_mode`` the same holds for what lies behind the last window.

    Needs: :class:`SpellOut` ran.
    Leaves: every AveragePool with pads has ``count_include_pad`` 1 and no ``ceil_mode``.
    """

    op_types = ("AveragePool",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape, result = shape_of(node.inputs[0]), shape_of(node.outputs[0])
        kernel, strides, pads = (attribute(node, name) for name in ("kernel_shape", "strides", "pads"))
        ceil, include = attribute(node, "ceil_mode", 0), attribute(node, "count_include_pad", 0)
        if shape is None or result is None or kernel is None or strides is None or pads is None:
            return False
        if max(attribute(node, "dilations", [1])) > 1 or (not ceil and (include or not any(pads))):
            return False
        spatial = len(kernel)
        full_pads, counts = list(pads), []
        for axis in range(spatial):
            begin, end, size = pads[axis], pads[axis + spatial], shape[axis + 2]
            starts = np.arange(result[axis + 2]) * strides[axis] - begin
            low, high = (-begin, size + end) if include else (0, size)
            counts.append(np.minimum(starts + kernel[axis], high) - np.maximum(starts, low))
            full_pads[axis + spatial] += max(int(starts[-1]) + kernel[axis] - size - end, 0)
        area = np.array([np.prod(window) for window in itertools.product(*counts)], np.float64).reshape(result[2:])
        factor = (np.prod(kernel) / area).astype(np.float32)[None, None]
        attributes = {"kernel_shape": kernel, "strides": strides, "pads": full_pads, "count_include_pad": 1}
        if (factor == 1).all():
            edit.replace(node, "AveragePool", [node.inputs[0]], attributes)
            return True
        pooled = edit.before(node, "AveragePool", [node.inputs[0]], attributes, name=f"{node.name}_counted")
        edit.replace(node, "Mul", [pooled, edit.constant(f"{node.name}_factor", factor)])
        return True
