"""Bounds in one form: Clip with two finite numbers, or Relu."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, constant, input_of, producer, scalar, sole_consumer, split_constant

UNBOUNDED = float(2**31)
"""Stands for a bound that is not there (quantizer spec 4.2.12): no quantized value reaches it."""


class NormaliseClip(NodePass):
    """Writes Clip, and Min and Max with a number, as Relu or as Clip with both bounds.

    ``max(x, 0)`` and ``clip(x, 0, none)`` become Relu; a Min after a Max (or the other way round) becomes one Clip with it.

    Leaves: Clip has three inputs, the bounds finite float32 numbers of rank 0.
    """

    op_types = ("Clip", "Max", "Min")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        bounds = _bounds(node)
        if bounds is None:
            return False
        x, low, high = bounds
        inner = producer(x, "Clip", "Max", "Min", "Relu")
        inner_bounds = _bounds(inner) if inner is not None and sole_consumer(x) is node else None
        if inner_bounds is not None and low <= high and max(inner_bounds[1], low) <= min(inner_bounds[2], high):
            x, low, high = inner_bounds[0], max(inner_bounds[1], low), min(inner_bounds[2], high)
        elif node.op_type == "Clip" and _is_normal(node):
            return False
        if low == 0.0 and high >= UNBOUNDED:
            edit.replace(node, "Relu", [x])
            return True
        inputs = [x, *(edit.constant(f"{node.name}_{end}", np.array(b, np.float32)) for end, b in (("min", low), ("max", high)))]
        edit.replace(node, "Clip", inputs)
        return True


def _bounds(node: ir.Node) -> tuple[ir.Value, float, float] | None:
    """What a node bounds, and the bounds; None where they are not constant numbers."""
    if node.op_type == "Relu" and node.inputs[0] is not None:
        return node.inputs[0], 0.0, UNBOUNDED
    if node.op_type == "Clip":
        values = [input_of(node, 1), input_of(node, 2)]
        numbers = [scalar(value) for value in values]
        if node.inputs[0] is None or any(v is not None and number is None for v, number in zip(values, numbers, strict=True)):
            return None
        low = -UNBOUNDED if numbers[0] is None else max(numbers[0], -UNBOUNDED)
        high = UNBOUNDED if numbers[1] is None else min(numbers[1], UNBOUNDED)
        return node.inputs[0], low, high
    found = split_constant(node)
    if found is None or found[1].size != 1 or found[1].dtype.kind != "f":
        return None
    number = float(found[1].reshape(-1)[0])
    if found[0].shape is None or len(found[0].shape) < found[1].ndim:
        return None
    return (
        (found[0], max(number, -UNBOUNDED), UNBOUNDED)
        if node.op_type == "Max"
        else (found[0], -UNBOUNDED, min(number, UNBOUNDED))
    )


def _is_normal(node: ir.Node) -> bool:
    if len(node.inputs) != 3:
        return False
    low, high = constant(node.inputs[1]), constant(node.inputs[2])
    if low is None or high is None or low.ndim or high.ndim:
        return False
    return abs(float(low)) <= UNBOUNDED and abs(float(high)) <= UNBOUNDED and not (float(low) == 0.0 and float(high) >= UNBOUNDED)
