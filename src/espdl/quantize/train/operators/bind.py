"""The function of a node, from the table of operators or of the user's own."""

from __future__ import annotations

import onnx_ir as ir

from espdl.dl.module import BUILT_IN, MODULE_TYPES
from espdl.errors import EspdlError
from espdl.quantize.facts import node_facts
from espdl.quantize.train.operators.custom import custom
from espdl.quantize.train.operators.table import OPERATORS, Function
from espdl.wording import at_node


def bind(node: ir.Node) -> Function:
    """The function of a node. Raises :class:`EspdlError` for an operator that has none."""
    maker = OPERATORS.get(node.op_type)
    if maker is None and node.op_type in MODULE_TYPES and node.op_type not in BUILT_IN:
        return custom(node)
    if maker is None:
        raise EspdlError(
            f"operator {node.op_type} cannot be trained",
            where=at_node(node.name, node.op_type),
            why="it has no form in PyTorch",
        )
    try:
        return maker(node_facts(node))
    except EspdlError as error:
        raise error.at(at_node(node.name, node.op_type)) from None
