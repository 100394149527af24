"""Max, Min, And, Or, Xor, Not and Erf (runtime spec 3.1, 3.6)."""

from __future__ import annotations

import math

from tests.cases.oracle.broadcast import broadcast, innermost
from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import dequantize, fl32, quantize

ITEMSIZE = {"int8": 1, "int16": 2, "bool": 1}


@oracle("Max")
def largest(node: Node) -> Array:
    return broadcast(node.x(0), node.x(1), max)


@oracle("Min")
def smallest(node: Node) -> Array:
    return broadcast(node.x(0), node.x(1), min)


def _is_bitwise(node: Node) -> bool:
    """And and Or of the P4's vector unit, which computes innermost loops of at least one vector."""
    length = max(innermost(node.x(0).shape, node.x(1).shape))
    return node.facts.silicon and node.facts.target == "esp32p4" and length >= node.facts.lanes(ITEMSIZE[node.x().dtype])


@oracle("And")
def conjunction(node: Node) -> Array:
    bitwise = _is_bitwise(node)
    return broadcast(node.x(0), node.x(1), lambda a, b: a & b if bitwise else int(a != 0 and b != 0))


@oracle("Or")
def disjunction(node: Node) -> Array:
    bitwise = _is_bitwise(node)
    return broadcast(node.x(0), node.x(1), lambda a, b: a | b if bitwise else int(a != 0 or b != 0))


@oracle("Xor")
def difference(node: Node) -> Array:
    return broadcast(node.x(0), node.x(1), lambda a, b: a ^ b)


@oracle("Not")
def negation(node: Node) -> Array:
    return node.x().map(lambda value: int(value == 0))


@oracle("Erf")
def error_function(node: Node) -> Array:
    x, y = node.x(), node.y()
    if x.dtype == "float32":
        return x.map(lambda value: fl32(math.erf(value)))
    assert isinstance(x.exponent, int)
    exponent = x.exponent
    return x.map(lambda value: quantize(fl32(math.erf(dequantize(value, exponent))), y.exponent, y.dtype, node.rounding))
