"""ConvTranspose becomes InsertZeros and Conv."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.functions import ensure_function
from espdl.quantize.passes.tools import DOMAIN, Editor, NodePass, attribute, constant, input_of, shape_of


class DecomposeConvTranspose(NodePass):
    """Writes ConvTranspose as zeros between the inputs, then a Conv with mirrored weights (quantizer spec 8.4).

    With kernel k, dilation d, pads p and stride s: ``s - 1`` zeros are inserted where s > 1, output padding is added at the end, and the
    Conv has stride 1 and pads ``d (k - 1) - p``. Pads below zero cut the input of the Conv instead. Weights [Cin, Cout / g, k...] are
    mirrored and become [Cout, Cin / g, k...].

    Needs: :class:`SpellOut` ran; a constant weight, one or two spatial axes.
    Leaves: the Conv under the name of the ConvTranspose, writing its output.
    """

    op_types = ("ConvTranspose",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        weight, shape = constant(input_of(node, 1)), shape_of(node.inputs[0])
        strides, pads, dilations = (attribute(node, name) for name in ("strides", "pads", "dilations"))
        extra, group = attribute(node, "output_padding"), attribute(node, "group", 1)
        if weight is None or shape is None or len(shape) not in (3, 4) or strides is None or pads is None or extra is None:
            return False
        spatial = len(shape) - 2
        kernel = weight.shape[2:]
        begins = [dilations[axis] * (kernel[axis] - 1) - pads[axis] for axis in range(spatial)]
        ends = [dilations[axis] * (kernel[axis] - 1) - pads[axis + spatial] for axis in range(spatial)]
        x = node.inputs[0]
        if max(strides) > 1:
            # Zeros at the tail that the pads would cut off again are not made.
            tail = [max(more + min(end, 0), 0) for more, end in zip(extra, ends, strict=True)]
            ends = [end if end >= 0 else min(end + more, 0) for end, more in zip(ends, extra, strict=True)]
            ensure_function(edit.model, "InsertZeros")
            attributes = {"stride": strides, "output_padding": tail}
            x = edit.before(node, "InsertZeros", [x], attributes, name=f"{node.name}_insert_zeros", domain=DOMAIN)
        else:
            ends = [end + more for end, more in zip(ends, extra, strict=True)]
        if min(begins + ends) < 0:
            x = _cut(node, x, begins, ends, edit)
        attributes = {
            "kernel_shape": list(kernel),
            "strides": [1] * spatial,
            "dilations": dilations,
            "pads": [max(pad, 0) for pad in begins + ends],
            "group": group,
        }
        mirrored = edit.constant(f"{node.name}_weight", mirror(weight, group))
        edit.replace(node, "Conv", [x, mirrored, *node.inputs[2:]], attributes)
        return True


def mirror(weight: np.ndarray, group: int) -> np.ndarray:
    """[Cin, Cout / group, k...] of ConvTranspose as [Cout, Cin / group, k...] of Conv, spatial axes reversed."""
    inputs, outputs, *kernel = weight.shape
    flipped = np.flip(weight, tuple(range(2, weight.ndim))).reshape(group, inputs // group, outputs, *kernel)
    return np.ascontiguousarray(np.swapaxes(flipped, 1, 2).reshape(group * outputs, inputs // group, *kernel))


def _cut(node: ir.Node, x: ir.Value | None, begins: list[int], ends: list[int], edit: Editor) -> ir.Value:
    """Slices off what negative pads remove."""
    shape = shape_of(x) or ()
    sizes = shape[2:]
    starts = [max(-begin, 0) for begin in begins]
    stops = [size - max(-end, 0) for size, end in zip(sizes, ends, strict=True)]
    lists = (("starts", starts), ("ends", stops), ("axes", list(range(2, 2 + len(sizes)))), ("steps", [1] * len(sizes)))
    constants = [edit.constant(f"{node.name}_{name}", np.array(numbers, np.int64)) for name, numbers in lists]
    return edit.before(node, "Slice", [x, *constants], name=f"{node.name}_cut")
