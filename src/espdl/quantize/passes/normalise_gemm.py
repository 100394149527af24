"""Gemm in the one form that the chip has: X times a constant, plus a vector."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, shape_of


class NormaliseGemm(NodePass):
    """Rewrites Gemm with factors, a transposed input, a matrix as addend or a variable weight.

    alpha and beta go into weight and bias, transA becomes a Transpose before, an addend that is no constant vector an Add after; a
    variable weight makes it MatMul.

    Leaves: every Gemm has alpha = beta = 1, transA = 0, a constant weight (transB as it was) and no bias or a constant one of shape [N].
    """

    op_types = ("Gemm",)

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape = shape_of(node.outputs[0])
        if shape is None or node.inputs[0] is None or node.inputs[1] is None:
            return False
        alpha, beta = float(attribute(node, "alpha", 1.0)), float(attribute(node, "beta", 1.0))
        weight, addend = constant(node.inputs[1]), input_of(node, 2)
        bias = constant(addend)
        is_vector = bias is not None and bias.size in (1, shape[1]) and (bias.ndim < 2 or bias.shape[-1] == bias.size)
        has_form = (alpha, beta) == (1.0, 1.0) and not attribute(node, "transA", 0) and weight is not None
        if has_form and (addend is None or (is_vector and bias is not None and bias.shape == (shape[1],))):
            return False
        x = node.inputs[0]
        if attribute(node, "transA", 0):
            x = edit.before(node, "Transpose", [x], {"perm": [1, 0]})
        if weight is None:
            second = node.inputs[1]
            if attribute(node, "transB", 0):
                second = edit.before(node, "Transpose", [second], {"perm": [1, 0]})
            result = edit.before(node, "MatMul", [x, second])
            if alpha != 1.0:
                result = edit.before(node, "Mul", [result, edit.constant(f"{node.name}_alpha", np.array(alpha, np.float32))])
            self._finish(node, result, addend if beta else None, beta, edit)
            return True
        inputs = [
            x,
            node.inputs[1] if alpha == 1.0 else edit.constant(f"{node.name}_weight", (weight * alpha).astype(np.float32)),
        ]
        attributes = {"transB": attribute(node, "transB", 0)}
        if addend is None or is_vector or not beta:
            if bias is not None and beta:
                vector = np.broadcast_to(bias.reshape(-1).astype(np.float64) * beta, (shape[1],))
                inputs.append(edit.constant(f"{node.name}_bias", vector.astype(np.float32)))
            edit.replace(node, "Gemm", inputs, attributes)
            return True
        self._finish(node, edit.before(node, "Gemm", inputs, attributes, name=f"{node.name}_product"), addend, beta, edit)
        return True

    def _finish(self, node: ir.Node, result: ir.Value, addend: ir.Value | None, beta: float, edit: Editor) -> None:
        """Adds ``beta * addend`` to ``result`` in the place of ``node``."""
        if addend is None:
            edit.bypass(node, result)
            return
        if beta != 1.0:
            addend = edit.before(node, "Mul", [addend, edit.constant(f"{node.name}_beta", np.array(beta, np.float32))])
        edit.replace(node, "Add", [result, addend])
