"""What kind of work an operator does: colours and legends go by it."""

from __future__ import annotations

from espdl.dl.module import MODULE_TYPES
from espdl.dl.module.contract import Layout

KINDS = {
    "multiply": "multiplies and accumulates",
    "table": "activation",
    "elementwise": "element by element",
    "window": "pools, resizes, reduces",
    "moves": "moves values",
    "converts": "converts exponents or types",
    "recurrent": "carries state",
    "other": "other",
    "port": "input or output",
}
"""Kinds by the name of their style class, with the words of the legend."""

_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "RequantizeLinear"})
_MULTIPLYING = frozenset({"ConvTranspose", "Attention"})
_STREAMING = frozenset({"StreamingCache"})


def kind_of(op_type: str) -> str:
    """A key of :data:`KINDS`, from what the operator says of itself; ``other`` for one that is not known."""
    module = MODULE_TYPES.get(op_type)
    if op_type in _CONVERSIONS:
        return "converts"
    if module is None:
        return "other"
    rules, layout = module.quantization, module.layout.layout
    if rules.states or op_type in _STREAMING:
        return "recurrent"
    if rules.computing or op_type in _MULTIPLYING:
        return "multiply"
    if rules.table:
        return "table"
    if layout is Layout.BROADCAST:
        return "elementwise"
    if op_type.startswith("Reduce") or op_type.endswith("Pool") or op_type == "Resize":
        return "window"
    if rules.passive or layout is Layout.CONCAT:
        return "moves"
    return "other"
