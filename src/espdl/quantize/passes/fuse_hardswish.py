"""The formulas of hard sigmoid and hard swish become HardSigmoid and HardSwish."""

from __future__ import annotations

import math

import onnx_ir as ir

from espdl.quantize.passes.patterns import polynomial, product
from espdl.quantize.passes.tools import Editor, NodePass, attribute, fused_name, input_of, producer, scalar, sole_consumer


class FuseHardSigmoid(NodePass):
    """Fuses ``clip(a x + b, 0, m) / m`` into HardSigmoid with alpha ``a / m`` and beta ``b / m``.

    Needs: Clip with constant bounds.
    Leaves: HardSigmoid named after the division and writing its output.
    """

    op_types = ("Clip",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        top = scalar(input_of(node, 2))
        last = sole_consumer(node.outputs[0], "Mul", "Div")
        if scalar(input_of(node, 1)) != 0.0 or not top or last is None:
            return False
        factors, number = product(last)
        x = _only_variable(node.inputs[0])
        line = None if x is None else polynomial(node.inputs[0], x)
        if (
            factors != [node.outputs[0]]
            or not math.isclose(number * top, 1.0, rel_tol=1e-4)
            or line is None
            or not set(line) <= {0, 1}
        ):
            return False
        attributes = {"alpha": line.get(1, 0.0) / top, "beta": line.get(0, 0.0) / top}
        edit.replace(last, "HardSigmoid", [x], attributes, name=fused_name(last, "HardSigmoid"))
        return True


class FuseHardSwish(NodePass):
    """Fuses ``x * HardSigmoid(x)`` with alpha 1/6 and beta 1/2, and ``x * clip(x + 3, 0, 6) / 6``, into HardSwish.

    Needs: the HardSigmoid or Clip feeds the product alone.
    Leaves: HardSwish named after the last Mul and writing its output.
    """

    op_types = ("HardSigmoid", "Clip")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        if node.op_type == "HardSigmoid":
            is_gate = math.isclose(attribute(node, "alpha", 0.2), 1 / 6, rel_tol=1e-4) and attribute(node, "beta", 0.5) == 0.5
            wanted = 1.0
        else:
            is_gate = scalar(input_of(node, 1)) == 0.0 and scalar(input_of(node, 2)) == 6.0
            wanted = 1 / 6
        last = sole_consumer(node.outputs[0], "Mul", "Div") if is_gate else None
        while last is not None:
            factors, number = product(last)
            others = [value for value in factors if value is not node.outputs[0]]
            if len(factors) == 2 and len(others) == 1 and math.isclose(number, wanted, rel_tol=1e-4):
                x = others[0]
                line = polynomial(node.inputs[0], x)
                if line != ({1: 1.0} if node.op_type == "HardSigmoid" else {1: 1.0, 0: 3.0}):
                    return False
                edit.replace(last, "HardSwish", [x], name=fused_name(last, "HardSwish"))
                return True
            last = sole_consumer(last.outputs[0], "Mul", "Div")
        return False


def _only_variable(value: ir.Value | None) -> ir.Value | None:
    """The variable at the root of a line ``a x + b``."""
    while value is not None:
        node = producer(value, "Add", "Sub", "Mul", "Div")
        inputs = [item for item in node.inputs if item is not None and scalar(item) is None] if node is not None else []
        if len(inputs) != 1:
            return value
        value = inputs[0]
    return None
