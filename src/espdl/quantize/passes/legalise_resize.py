"""Resize in the modes that the chip has."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, shape_of


class LegaliseResize(NodePass):
    """Writes scales for every axis, and modes that give the same result in the chip's words (runtime spec 3.11).

    Enlarging by a whole number, every rule for the nearest neighbour picks the same one: it is written as asymmetric, floor, which is
    what the chip does. ``pytorch_half_pixel`` is ``half_pixel`` where no output has length 1.

    Leaves: inputs (x, none, scales) with scales as output size by input size; no ``axes``.
    """

    op_types = ("Resize",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape, result = shape_of(node.inputs[0]), shape_of(node.outputs[0])
        if shape is None or result is None or attribute(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
            return False
        mode = attribute(node, "mode", "nearest")
        transform = attribute(node, "coordinate_transformation_mode", "half_pixel")
        attributes: dict[str, object] = {"mode": mode}
        if mode == "nearest":
            whole = all(new % old == 0 for old, new in zip(shape, result, strict=True))
            rounding = attribute(node, "nearest_mode", "round_prefer_floor")
            if (
                whole
                and transform in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
                and rounding.startswith("round")
            ):
                transform, rounding = "asymmetric", "floor"
            attributes["nearest_mode"] = rounding
        elif transform == "pytorch_half_pixel" and min(result[2:], default=0) > 1:
            transform = "half_pixel"
        attributes["coordinate_transformation_mode"] = transform
        if mode == "cubic":
            attributes |= {
                name: attr.value for name, attr in node.attributes.items() if name in ("cubic_coeff_a", "exclude_outside")
            }
        scales = np.array([new / old for old, new in zip(shape, result, strict=True)], np.float32)
        current = node.inputs[2].const_value if len(node.inputs) == 3 and node.inputs[2] is not None else None
        unchanged = current is not None and current.numpy().shape == scales.shape and (current.numpy() == scales).all()
        if unchanged and node.inputs[1] is None and {name: attr.value for name, attr in node.attributes.items()} == attributes:
            return False
        edit.replace(node, "Resize", [node.inputs[0], None, edit.constant(f"{node.name}_scales", scales)], attributes)
        return True
