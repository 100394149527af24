"""x * sigmoid(x) becomes Swish."""

from __future__ import annotations

import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, fused_name, sole_consumer


class FuseSwish(NodePass):
    """Fuses ``Mul(x, Sigmoid(x))``, in either order, into Swish (SiLU).

    Needs: the Sigmoid feeds the Mul alone.
    Leaves: Swish, named after the Sigmoid and writing the Mul's output.
    """

    op_types = ("Sigmoid",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        x = node.inputs[0]
        product = sole_consumer(node.outputs[0], "Mul")
        if product is None or x is None or not any(value is x for value in product.inputs):
            return False
        edit.merge(node, product, [x], op_type="Swish", name=fused_name(node, "Swish"), attributes={})
        return True
