"""A Pad before a layer becomes its pads."""

from __future__ import annotations

import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, integers, producer, scalar, sole_consumer


class FusePad(NodePass):
    """Takes a Pad with zeros into the pads of the Conv, or of the AveragePool that counts pads, behind it.

    Needs: :class:`SpellOut` ran; the Pad works on spatial axes only, adds nothing negative and has no other consumer.
    Leaves: the layer under its own name.
    """

    op_types = ("Conv", "AveragePool")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        pad = producer(node.inputs[0], "Pad")
        if pad is None or sole_consumer(pad.outputs[0]) is not node or attribute(pad, "mode", "constant") != "constant":
            return False
        amounts = integers(input_of(pad, 1))
        value = input_of(pad, 2)
        own = attribute(node, "pads")
        if amounts is None or own is None or input_of(pad, 3) is not None or (value is not None and scalar(value) != 0.0):
            return False
        spatial = len(own) // 2
        rank = spatial + 2
        if len(amounts) != 2 * rank or min(amounts) < 0 or any(amounts[axis] for axis in (0, 1, rank, rank + 1)):
            return False
        if node.op_type == "Conv" and constant(input_of(node, 1)) is None:
            return False
        if node.op_type == "AveragePool" and (
            attribute(node, "ceil_mode", 0) or (any(own) and not attribute(node, "count_include_pad", 0))
        ):
            return False
        added = amounts[2:rank] + amounts[rank + 2 :]
        node.attributes["pads"] = ir.AttrInt64s("pads", [old + more for old, more in zip(own, added, strict=True)])
        if node.op_type == "AveragePool":
            node.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
        node.replace_input_with(0, pad.inputs[0])
        return True
