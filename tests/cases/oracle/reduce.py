"""The Reduce family (runtime spec 3.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cases.oracle.floats import divide, expf, logf, sqrt_newton, total
from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import dequantize, fl32, power_of_two, quantize, round_double, saturate, shift_and_round
from tests.cases.oracle.rows import groups

LARGEST_FLOAT = fl32(3.4028234663852886e38)


def _product(factors: list[float]) -> float:
    """In binary32, one after the other."""
    result = 1.0
    for factor in factors:
        result = fl32(result * factor)
    return result


REAL: dict[str, Callable[[list[float]], float]] = {
    "ReduceSum": total,
    "ReduceL1": lambda values: total(abs(value) for value in values),
    "ReduceSumSquare": lambda values: total(fl32(value * value) for value in values),
    "ReduceMean": lambda values: divide(total(values), float(len(values))),
    "ReduceL2": lambda values: sqrt_newton(total(fl32(value * value) for value in values)),
    "ReduceMax": lambda values: max([-LARGEST_FLOAT, *values]),
    "ReduceMin": lambda values: min([LARGEST_FLOAT, *values]),
    "ReduceProd": _product,
    "ReduceLogSum": lambda values: logf(total(values)),
    "ReduceLogSumExp": lambda values: logf(total(expf(value) for value in values)),
}
"""Of float32 values."""


def _integer(op_type: str, values: list[int], ei: int, eo: int, dtype: str, rounding: str) -> int:
    """Of raw integers with exponent ``ei`` to one with ``eo``."""
    squares = sum(value * value for value in values)
    if op_type == "ReduceSum":
        return saturate(shift_and_round(sum(values), eo - ei, rounding), dtype)
    if op_type == "ReduceL1":
        return saturate(shift_and_round(sum(abs(value) for value in values), eo - ei, rounding), dtype)
    if op_type == "ReduceSumSquare":
        return saturate(shift_and_round(squares, eo - 2 * ei, rounding), dtype)
    if op_type == "ReduceMax":
        return max(values)
    if op_type == "ReduceMin":
        return min(values)
    if op_type == "ReduceMean":
        return quantize(fl32(dequantize(sum(values), ei) / len(values)), eo, dtype, rounding)
    if op_type == "ReduceL2":
        return quantize(sqrt_newton(dequantize(squares, 2 * ei)), eo, dtype, rounding)
    if op_type == "ReduceProd":
        return _integer_product(values, ei, eo, dtype, rounding)
    if op_type == "ReduceLogSum":
        return quantize(logf(dequantize(sum(values), ei)), eo, dtype, rounding)
    assert op_type == "ReduceLogSumExp"
    return quantize(logf(total(expf(dequantize(value, ei)) for value in values)), eo, dtype, rounding)


def _integer_product(values: list[int], ei: int, eo: int, dtype: str, rounding: str) -> int:
    """Of real values: in binary32 for int8, in binary64 for int16."""
    if dtype == "int8":
        return quantize(_product([dequantize(value, ei) for value in values]), eo, dtype, rounding)
    result = 1.0
    for value in values:
        result *= value * power_of_two(ei)
    return saturate(round_double(result * power_of_two(-eo), rounding), dtype)


@oracle(*REAL)
def reduce(node: Node) -> Array:
    source, result = node.x(), node.y()
    rank = len(source.shape)
    axes = [axis % rank for axis in node.x(1).values] if node.has(1) and node.x(1).size else list(range(rank))
    rows = [[source.values[index] for index in group] for group in groups(source, axes)]
    if source.dtype == "float32":
        values: list[Any] = [REAL[node.op_type](row) for row in rows]
    else:
        assert isinstance(source.exponent, int)
        arguments = source.exponent, result.exponent, result.dtype, node.rounding
        values = [_integer(node.op_type, row, *arguments) for row in rows]
    if node.attributes.get("keepdims", 1):
        shape = tuple(1 if axis in axes else length for axis, length in enumerate(source.shape))
    else:
        shape = tuple(length for axis, length in enumerate(source.shape) if axis not in axes) or (1,)
    return Array(shape, values)
