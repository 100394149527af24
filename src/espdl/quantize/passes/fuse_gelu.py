"""The formulas of GELU become Gelu."""

from __future__ import annotations

import math

import onnx_ir as ir

from espdl.quantize.passes.patterns import Polynomial, is_polynomial, polynomial, product
from espdl.quantize.passes.tools import Editor, NodePass, fused_name, scalar, sole_consumer

_ROOT = math.sqrt(2 / math.pi)
_EXACT: Polynomial = {1: math.sqrt(0.5)}
_TANH: Polynomial = {1: _ROOT, 3: 0.044715 * _ROOT}


class FuseGelu(NodePass):
    """Fuses ``x / 2 * (1 + erf(x / sqrt 2))`` and ``x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`` into Gelu.

    The constants may stand anywhere, as factors or divisors, and the polynomial may be written in any way.

    Needs: the Erf or Tanh, and the sum, feed the formula alone.
    Leaves: Gelu, ``approximate`` "none" or "tanh", named after the last Mul and writing its output.
    """

    op_types = ("Erf", "Tanh")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        total = sole_consumer(node.outputs[0], "Add")
        if total is None or not any(scalar(value) == 1.0 for value in total.inputs):
            return False
        wanted, form = (_EXACT, "none") if node.op_type == "Erf" else (_TANH, "tanh")
        last = sole_consumer(total.outputs[0], "Mul", "Div")
        while last is not None:
            factors, number = product(last)
            others = [value for value in factors if value is not total.outputs[0]]
            if len(factors) == 2 and len(others) == 1 and math.isclose(number, 0.5, rel_tol=1e-4):
                x = others[0]
                if not is_polynomial(polynomial(node.inputs[0], x), wanted):
                    return False
                edit.replace(last, "Gelu", [x], {"approximate": form}, name=fused_name(last, "Gelu"))
                return True
            last = sole_consumer(last.outputs[0], "Mul", "Div")
        return False
