"""Arithmetic that the chip lacks, in the operators that it has."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, constant, input_of, scalar, shape_of

LARGEST_REPETITION = 64


class LegaliseArithmetic(NodePass):
    """Rewrites powers, reciprocals, sums, maxima and minima of many, and absolute values.

    ``x ** 2`` -> ``x * x``, ``x ** 0.5`` -> Sqrt, ``x ** 1`` -> x, ``1 / x`` -> Div, Sum and Mean of many -> Add in a row (and Mul),
    Max and Min of many -> of two in a row, ``|x|`` -> ``relu(x) + relu(-x)``, PRelu with one slope -> LeakyRelu.
    """

    op_types = ("Pow", "Reciprocal", "Sum", "Mean", "Max", "Min", "Abs", "PRelu")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        x = node.inputs[0]
        if x is None or shape_of(node.outputs[0]) is None:
            return False
        if node.op_type == "Pow":
            exponent = scalar(input_of(node, 1))
            if shape_of(x) != shape_of(node.outputs[0]) or exponent not in (0.5, 1.0, 2.0):
                return False
            if exponent == 1.0:
                return edit.bypass(node, x)
            edit.replace(node, "Sqrt" if exponent == 0.5 else "Mul", [x] if exponent == 0.5 else [x, x])
        elif node.op_type == "Reciprocal":
            edit.replace(node, "Div", [edit.constant(f"{node.name}_one", np.ones((), np.float32)), x])
        elif node.op_type == "Abs":
            negative = edit.before(node, "Neg", [x])
            edit.replace(node, "Add", [edit.before(node, "Relu", [x]), edit.before(node, "Relu", [negative])])
        elif node.op_type == "PRelu":
            slope = scalar(input_of(node, 1))
            if slope is None:
                return False
            edit.replace(node, "LeakyRelu", [x], {"alpha": slope})
        else:
            return self._in_pairs(node, edit)
        return True

    def _in_pairs(self, node: ir.Node, edit: Editor) -> bool:
        pair = {"Sum": "Add", "Mean": "Add"}.get(node.op_type, node.op_type)
        if len(node.inputs) == 1 and node.inputs[0] is not None:
            return edit.bypass(node, node.inputs[0])
        if len(node.inputs) < 2 or (len(node.inputs) == 2 and pair == node.op_type):
            return False
        total = node.inputs[0]
        for index, value in enumerate(node.inputs[1:], start=1):
            if node.op_type != "Mean" and index == len(node.inputs) - 1:
                edit.replace(node, pair, [total, value])
                return True
            total = edit.before(node, pair, [total, value], name=f"{node.name}_{pair.lower()}_{index}")
        edit.replace(node, "Mul", [total, edit.constant(f"{node.name}_share", np.array(1 / len(node.inputs), np.float32))])
        return True


class LegaliseExpand(NodePass):
    """Removes Expand where the operators behind it broadcast on their own, and writes others, and Tile, as Concat.

    Needs: constant sizes; at most 64 repetitions of an axis.
    """

    op_types = ("Expand", "Tile")
    _broadcasting = frozenset(
        {"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"}
        | {"Max", "Min", "And", "Or", "Xor"}
    )

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        x, shape, result = node.inputs[0], shape_of(node.inputs[0]), shape_of(node.outputs[0])
        if x is None or shape is None or result is None or constant(x) is not None:
            return False
        if node.op_type == "Expand" and self._is_implied(node, x):
            return edit.bypass(node, x)
        full = (1,) * (len(result) - len(shape)) + shape
        repeats = [new // old for old, new in zip(full, result, strict=True)]
        if max(repeats, default=1) > LARGEST_REPETITION or 0 in result:
            return False
        value = x
        if full != shape:
            target = edit.constant(f"{node.name}_shape", np.array(full, np.int64))
            value = edit.before(node, "Reshape", [x, target], name=f"{node.name}_reshape")
        axes = [axis for axis, times in enumerate(repeats) if times > 1]
        if not axes:
            return edit.bypass(node, value)
        for axis in axes[:-1]:
            value = edit.before(node, "Concat", [value] * repeats[axis], {"axis": axis}, name=f"{node.name}_repeat_{axis}")
        edit.replace(node, "Concat", [value] * repeats[axes[-1]], {"axis": axes[-1]})
        return True

    def _is_implied(self, node: ir.Node, x: ir.Value) -> bool:
        if node.outputs[0].is_graph_output():
            return False
        for use in node.outputs[0].uses():
            others = [shape_of(value) for index, value in enumerate(use.node.inputs) if index != use.idx]
            target = shape_of(use.node.outputs[0])
            if use.node.op_type not in self._broadcasting or len(others) != 1 or others[0] is None:
                return False
            try:
                if np.broadcast_shapes(others[0], shape_of(x) or ()) != target:
                    return False
            except ValueError:
                return False
        return True
