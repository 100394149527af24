"""GRU and LSTM without what says nothing."""

from __future__ import annotations

import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, constant, input_of, shape_of

_STATES = {"GRU": (5,), "LSTM": (5, 6)}
_PEEPHOLES = 7


class TidyRecurrent(NodePass):
    """Drops initial states and peepholes that are zero, and sequence lengths that are the whole sequence.

    Exporters write them; the chip starts from zero and always runs the whole sequence (runtime spec 3.12). An LSTM whose two states are
    not both zero keeps both.

    Leaves: trailing omitted inputs removed, ``hidden_size`` written.
    """

    op_types = ("GRU", "LSTM")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        modified = False
        states = _STATES[node.op_type]
        if any(input_of(node, index) is not None for index in states) and all(
            _is_zero(input_of(node, index)) for index in states
        ):
            for index in states:
                if input_of(node, index) is not None:
                    node.replace_input_with(index, None)
            modified = True
        if input_of(node, _PEEPHOLES) is not None and _is_zero(input_of(node, _PEEPHOLES)):
            node.replace_input_with(_PEEPHOLES, None)
            modified = True
        shape, lengths = shape_of(node.inputs[0]), constant(input_of(node, 4))
        steps = shape[1 if attribute(node, "layout", 0) else 0] if shape is not None else None
        if lengths is not None and steps is not None and (lengths == steps).all():
            node.replace_input_with(4, None)
            modified = True
        last = max(index for index, value in enumerate(node.inputs) if value is not None)
        if last + 1 < len(node.inputs):
            node.resize_inputs(last + 1)
            modified = True
        recurrence = shape_of(input_of(node, 2))
        if "hidden_size" not in node.attributes and recurrence is not None:
            node.attributes["hidden_size"] = ir.AttrInt64("hidden_size", recurrence[2])
            modified = True
        return modified


class NameStates(ir.passes.InPlacePass):
    """Names the outputs of GRU and LSTM that nothing reads: the chip writes all of them, and would write to nowhere.

    Leaves: every output with name, type and shape.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        edit = Editor(model)
        modified = False
        for node in model.graph:
            if node.domain == "" and node.op_type in _STATES:
                modified |= _name_outputs(node, edit)
        return ir.passes.PassResult(model, modified)


def _name_outputs(node: ir.Node, edit: Editor) -> bool:
    x, recurrence = shape_of(node.inputs[0]), shape_of(input_of(node, 2))
    missing = [
        index for index in range(len(_STATES[node.op_type]) + 1) if index >= len(node.outputs) or not node.outputs[index].name
    ]
    if not missing or x is None or recurrence is None:
        return False
    node.resize_outputs(max(len(node.outputs), missing[-1] + 1))
    last = [recurrence[0], 1, recurrence[2]]
    for index in missing:
        output = node.outputs[index]
        output.name = edit.free_name(f"{node.name}_output_{index}")
        output.type = ir.TensorType(ir.DataType.FLOAT)
        output.shape = ir.Shape(last if index else [x[0], *last])
    return True


def _is_zero(value: ir.Value | None) -> bool:
    """Whether an input is omitted or a constant of zeros."""
    if value is None:
        return True
    array = constant(value)
    return array is not None and not array.any()
