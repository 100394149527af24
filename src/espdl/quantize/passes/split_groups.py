"""Grouped convolutions as the chip has them: not at all, or one channel each."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, shape_of


class SplitGroups(NodePass):
    """Takes a Conv apart whose groups the chip lacks (runtime spec 3.3: group 1, or one output channel per input channel).

    Groups of several channels become Split, one Conv per group and Concat. A depthwise Conv with several outputs per channel becomes a
    Gather that repeats each channel, and a depthwise Conv.

    Needs: a constant weight.
    Leaves: convolutions of group 1 or depthwise.
    """

    op_types = ("Conv",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        group, weight = attribute(node, "group", 1), constant(input_of(node, 1))
        shape = shape_of(node.inputs[0])
        if group == 1 or weight is None or shape is None or (group == shape[1] and group == weight.shape[0]):
            return False
        attributes = {name: attr.value for name, attr in node.attributes.items()}
        bias_value = input_of(node, 2)
        bias = constant(bias_value)
        if bias_value is not None and bias is None:
            return False
        if group == shape[1]:
            order = np.repeat(np.arange(group), weight.shape[0] // group)
            repeated = edit.before(node, "Gather", [node.inputs[0], edit.constant(f"{node.name}_channels", order)], {"axis": 1})
            edit.replace(node, "Conv", [repeated, *node.inputs[1:]], attributes | {"group": len(order)})
            return True
        sizes = edit.constant(f"{node.name}_groups", np.full(group, shape[1] // group, np.int64))
        parts = edit.before_many(node, "Split", [node.inputs[0], sizes], {"axis": 1}, outputs=group, name=f"{node.name}_split")
        weights = np.split(weight, group)
        biases = np.split(bias, group) if bias is not None else [None] * group
        results = []
        for number, (part, own, addend) in enumerate(zip(parts, weights, biases, strict=True)):
            name = f"{node.name}_group_{number}"
            inputs = [part, edit.constant(f"{name}_weight", own)]
            if addend is not None:
                inputs.append(edit.constant(f"{name}_bias", addend))
            results.append(edit.before(node, "Conv", inputs, attributes | {"group": 1}, name=name))
        edit.replace(node, "Concat", results, {"axis": 1})
        return True
