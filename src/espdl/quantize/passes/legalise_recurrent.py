"""GRU and LSTM that read the batch first, or the sequence from its end, as ones that do neither."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, input_of, shape_of

_STATES = {"GRU": (5,), "LSTM": (5, 6)}
_SWAPPED = (1, 0, 2)
_BATCH_FIRST = (2, 0, 1, 3)


class LegaliseRecurrent(NodePass):
    """Writes ``layout`` 1 with Transposes around the layer, and direction ``reverse`` with ReverseSequences: the chip has neither.

    With a batch of 1, as the chip needs it, these Transposes move nothing. The last state of a sequence read from its end is that of the
    reversed one, so only Y is reversed back.

    Leaves: ``layout`` 0, direction forward or bidirectional. Layers with several sequences or other lengths stay as they are.
    """

    op_types = ("GRU", "LSTM")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        batch_first, backwards = bool(attribute(node, "layout", 0)), attribute(node, "direction", "forward") == "reverse"
        shape = shape_of(node.inputs[0])
        if not (batch_first or backwards) or shape is None or len(shape) != 3 or input_of(node, 4) is not None:
            return False
        batch, steps = (shape[0], shape[1]) if batch_first else (shape[1], shape[0])
        if batch != 1:
            return False
        inputs = list(node.inputs)
        if batch_first:
            for index in (0, *_STATES[node.op_type]):
                if input_of(node, index) is not None:
                    inputs[index] = self._transposed(node, inputs[index], _SWAPPED, f"input_{index}", edit)
        if backwards:
            inputs[0] = _reversed(node, inputs[0], steps, "input", edit)
        changed = {"layout": None, "direction": None} if backwards else {"layout": None}
        attributes = {name: attr.value for name, attr in node.attributes.items() if name not in changed}
        outputs = [output.name for output in node.outputs]
        made = edit.before_many(
            node,
            node.op_type,
            inputs,
            attributes,
            outputs=len(outputs),
            name=f"{node.name}_{'reversed' if backwards else 'turned'}",
        )
        for index, (old, value) in enumerate(zip(tuple(node.outputs), made, strict=True)):
            if not old.name:
                value.name = ""
                continue
            if backwards and index == 0:
                value = _reversed(node, value, steps, "output", edit)
            if batch_first:
                value = self._transposed(node, value, _SWAPPED if index else _BATCH_FIRST, f"output_{index}", edit)
            name, old.name = old.name, None
            ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
            value.name = name
        return True

    @staticmethod
    def _transposed(node: ir.Node, value: ir.Value | None, order: Sequence[int], what: str, edit: Editor) -> ir.Value:
        return edit.before(node, "Transpose", [value], {"perm": list(order)}, name=f"{node.name}_{what}_transpose")


def _reversed(node: ir.Node, value: ir.Value | None, steps: int, what: str, edit: Editor) -> ir.Value:
    lengths = edit.constant(f"{node.name}_{what}_lengths", np.array([steps], np.int64))
    name = f"{node.name}_{what}_reverse"
    return edit.before(node, "ReverseSequence", [value, lengths], {"time_axis": 0, "batch_axis": 1}, name=name)
