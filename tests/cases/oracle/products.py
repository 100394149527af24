"""Mul, Div, Pow, Mod (runtime spec 3.1, 3.1.1)."""

from __future__ import annotations

import math

from tests.cases.oracle.broadcast import broadcast, broadcast_shape, element, innermost
from tests.cases.oracle.node import Array, Node, Position, oracle
from tests.cases.oracle.rounding import (
    RANGES,
    dequantize,
    fl32,
    power_of_two,
    quantize,
    round_float,
    saturate,
    shift_and_round,
)


def _exponents(node: Node) -> tuple[int, int, int]:
    first, second = node.x(0).exponent, node.x(1).exponent
    assert isinstance(first, int)
    assert isinstance(second, int)
    return first, second, node.y().exponent


@oracle("Mul")
def multiply(node: Node) -> Array:
    a, b, dtype, mode = node.x(0), node.x(1), node.y().dtype, node.rounding
    if dtype == "float32":
        return broadcast(a, b, lambda x, y: fl32(x * y))
    ea, eb, eo = _exponents(node)
    lanes = node.facts.lanes(1 if dtype == "int8" else 2)
    if node.facts.silicon and lanes > 1 and max(innermost(a.shape, b.shape)) >= lanes:
        assert eo - ea - eb >= 0, "the vector unit shifts to the right only"
        return broadcast(a, b, lambda x, y: saturate(shift_and_round(x * y, eo - ea - eb, mode), dtype))
    scale = power_of_two(ea + eb - eo)
    return broadcast(a, b, lambda x, y: saturate(round_float(fl32(fl32(float(x * y)) * scale), mode), dtype))


@oracle("Div")
def divide(node: Node) -> Array:
    a, b, dtype, mode = node.x(0), node.x(1), node.y().dtype, node.rounding
    inner_a, inner_b = innermost(a.shape, b.shape)
    scalar_divisor = inner_b == 1 and (inner_a > 1 or dtype != "int8")
    if dtype == "float32":
        if scalar_divisor:
            return broadcast(a, b, lambda x, y: fl32(x * fl32(1.0 / y)))
        return broadcast(a, b, lambda x, y: fl32(x / y))
    ea, eb, eo = _exponents(node)
    r = power_of_two(ea - eb - eo)
    low, high = RANGES[dtype]

    def finish(quotient: float) -> int:
        return saturate(round_float(fl32(quotient), mode), dtype)

    def by_scalar_table(x: int, y: int) -> int:
        return 0 if x == 0 else finish(x * fl32(r / y))

    def scalar_table(x: int, y: int) -> int:
        if y == 0:
            return high if x > 0 else low
        return finish(fl32(x * r) / y)

    def loop(x: int, y: int) -> int:
        if x == 0:
            return 0
        if y == 0:
            return high if x > 0 else low
        return finish(x * fl32(r / y)) if scalar_divisor else finish(fl32(x * r) / y)

    if dtype == "int8" and a.size == 1:
        return broadcast(a, b, scalar_table)
    if dtype == "int8" and b.size == 1:
        return broadcast(a, b, by_scalar_table)
    return broadcast(a, b, loop)


@oracle("Pow")
def power(node: Node) -> Array:
    return _in_float(node, _pow)


@oracle("Mod")
def modulo(node: Node) -> Array:
    if node.y().dtype == "float32":
        return broadcast(node.x(0), node.x(1), math.fmod)
    return _in_float(node, lambda x, y: 0.0 if y == 0 else math.fmod(x, y))


def _pow(x: float, y: float) -> float:
    try:
        return fl32(math.pow(x, y))
    except OverflowError:
        return math.inf
    except ValueError:
        assert x == 0, "a root of a negative number is undefined on a chip"
        return math.inf


def _in_float(node: Node, function: object) -> Array:
    assert callable(function)
    a, b, result = node.x(0), node.x(1), node.y()
    if result.dtype == "float32":
        return broadcast(a, b, function)
    ea, eb, eo = _exponents(node)

    def at(position: Position) -> int:
        x, y = dequantize(element(a, position), ea), dequantize(element(b, position), eb)
        return quantize(function(x, y), eo, result.dtype, node.rounding)

    return Array.build(broadcast_shape(a.shape, b.shape), at)
