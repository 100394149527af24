"""Reading arithmetic out of a graph: products as a list of factors, formulas as polynomials."""

from __future__ import annotations

import math
from typing import NamedTuple

import onnx_ir as ir

from espdl.quantize.passes.tools import input_of, is_only_for, producer, scalar, shape_of

_DEPTH = 8

Polynomial = dict[int, float]
"""Coefficients by power."""


class Product(NamedTuple):
    """A tree of Mul and Div nodes: the values it multiplies, and the constant numbers among them as one."""

    factors: list[ir.Value]
    number: float


def product(node: ir.Node) -> Product:
    """What ``node`` multiplies, through Mul nodes and divisions by a number that feed it alone."""
    factors: list[ir.Value] = []
    number = 1.0
    inputs = [value for value in node.inputs if value is not None]
    if node.op_type == "Div":
        divisor = scalar(input_of(node, 1))
        if not divisor:
            return Product(list(node.outputs), 1.0)
        number, inputs = 1 / divisor, inputs[:1]
    for value in inputs:
        constant_number = scalar(value)
        inner = producer(value, "Mul", "Div")
        if constant_number is not None:
            number *= constant_number
        elif (
            inner is not None and is_only_for(value, node) and shape_of(value) == shape_of(node.outputs[0]) and _is_numeric(inner)
        ):
            found = product(inner)
            factors += found.factors
            number *= found.number
        else:
            factors.append(value)
    return Product(factors, number)


def _is_numeric(node: ir.Node) -> bool:
    return node.op_type == "Mul" or bool(scalar(input_of(node, 1)))


def polynomial(value: ir.Value | None, x: ir.Value, depth: int = _DEPTH) -> Polynomial | None:
    """``value`` as a polynomial of ``x``; None where it is not one that these nodes write: Add, Sub, Mul, Div, Pow, Neg."""
    if value is None or depth == 0:
        return None
    if value is x:
        return {1: 1.0}
    number = scalar(value)
    if number is not None:
        return {0: number}
    node = producer(value, "Add", "Sub", "Mul", "Div", "Pow", "Neg")
    if node is None:
        return None
    parts = [polynomial(item, x, depth - 1) for item in node.inputs]
    if any(part is None for part in parts):
        return None
    first, *rest = [part for part in parts if part is not None]
    if node.op_type == "Neg":
        return {power: -factor for power, factor in first.items()}
    second = rest[0]
    if node.op_type in ("Add", "Sub"):
        sign = 1.0 if node.op_type == "Add" else -1.0
        return {power: first.get(power, 0.0) + sign * second.get(power, 0.0) for power in first.keys() | second.keys()}
    if node.op_type == "Mul":
        return _times(first, second)
    if set(second) != {0}:
        return None
    if node.op_type == "Div":
        return {power: factor / second[0] for power, factor in first.items()} if second[0] else None
    exponent = second[0]
    if exponent not in (1.0, 2.0, 3.0):
        return None
    result = first
    for _ in range(int(exponent) - 1):
        result = _times(result, first)
    return result


def _times(first: Polynomial, second: Polynomial) -> Polynomial:
    result: Polynomial = {}
    for power, factor in first.items():
        for other_power, other in second.items():
            result[power + other_power] = result.get(power + other_power, 0.0) + factor * other
    return result


def is_polynomial(found: Polynomial | None, wanted: Polynomial, tolerance: float = 2e-3) -> bool:
    """Whether all coefficients agree to ``tolerance`` of their size: exporters write constants like sqrt(2) with few digits."""
    if found is None:
        return False
    return all(
        math.isclose(found.get(power, 0.0), wanted.get(power, 0.0), rel_tol=tolerance, abs_tol=1e-9)
        for power in found.keys() | wanted.keys()
    )
