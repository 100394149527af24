"""A node of an ONNX network in the plain form that operators' limits read."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from espdl.dl.module.contract import NodeFacts
from espdl.quantize.passes.tools import shape_of


def node_facts(node: ir.Node) -> NodeFacts:
    """What limits see of ``node``: attributes and constants as Python and NumPy values, shapes in ONNX order."""
    return NodeFacts(
        op_type=node.op_type,
        attributes=attributes_of(node),
        input_shapes=tuple(shape_of(value) for value in node.inputs),
        constants={
            index: value.const_value.numpy()
            for index, value in enumerate(node.inputs)
            if value is not None and value.const_value is not None
        },
        output_shapes=tuple(shape_of(value) for value in node.outputs),
    )


def attributes_of(node: ir.Node) -> dict[str, Any]:
    """Attributes by name: numbers, text, lists of them, arrays for tensors. Those without a value are left out."""
    return {name: _plain(attr) for name, attr in node.attributes.items() if not attr.is_ref() and attr.value is not None}


def _plain(attr: ir.Attr) -> Any:
    if attr.type is ir.AttributeType.TENSOR:
        return attr.as_tensor().numpy()
    value = attr.value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (tuple, list, np.ndarray)):
        return list(value)
    return value
