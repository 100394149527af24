"""QuantizeLinear, DequantizeLinear, RequantizeLinear: another type or exponent for the same values (runtime spec 2.3)."""

from __future__ import annotations

from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import dequantize, quantize, saturate


@oracle("QuantizeLinear", "DequantizeLinear", "RequantizeLinear")
def assign(node: Node) -> Array:
    x, y = node.x(), node.y()
    assert isinstance(x.exponent, int)
    exponent = x.exponent
    if x.dtype == y.dtype and (exponent == y.exponent or x.dtype == "float32"):
        return x
    if x.dtype == "float32":
        return x.map(lambda value: quantize(value, y.exponent, y.dtype, node.rounding))
    if y.dtype == "float32":
        return x.map(lambda value: dequantize(value, exponent))
    if exponent == y.exponent:
        return x.map(lambda value: saturate(value, y.dtype))
    return x.map(lambda value: quantize(dequantize(value, exponent), y.exponent, y.dtype, node.rounding))
