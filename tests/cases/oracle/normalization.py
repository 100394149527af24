"""LayerNormalization, RMSNormalization, LpNormalization (runtime spec 3.8)."""

from __future__ import annotations

from typing import Any

from tests.cases.oracle.floats import divide, sqrt_newton, sqrtf, total
from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import dequantize, fl32, power_of_two, round_float, saturate
from tests.cases.oracle.rows import along


def _exponent(array: Array) -> int:
    assert isinstance(array.exponent, int)
    return array.exponent


def _axes_behind(node: Node) -> list[int]:
    rank = len(node.x().shape)
    return list(range(node.attributes.get("axis", -1) % rank, rank))


def _real(array: Array) -> list[float]:
    if array.dtype == "float32":
        return list(array.values)
    return [dequantize(value, _exponent(array)) for value in array.values]


def _written(node: Node, value: float) -> Any:
    """A value in units of the output."""
    return value if node.y().dtype == "float32" else saturate(round_float(value, node.rounding), node.y().dtype)


@oracle("LayerNormalization")
def layer_normalization(node: Node) -> Array:
    source, scale = node.x(), _real(node.x(1))
    bias = _real(node.x(2)) if node.has(2) else None
    real = power_of_two(_exponent(source))
    epsilon = fl32(node.attributes.get("epsilon", 1e-5))
    unit = power_of_two(-node.y().exponent)

    def row(values: list[Any]) -> list[Any]:
        inner = len(values)
        added = total(values) if source.dtype == "float32" else sum(values)
        mean = fl32(added * 1.0 / inner)
        deviations = [fl32(fl32(float(value)) - mean) for value in values]
        variance = total(fl32(deviation * deviation) for deviation in deviations)
        mean = fl32(mean * real)
        variance = fl32(fl32(variance * fl32(real * real)) / inner)
        inverse = divide(1.0, sqrt_newton(fl32(variance + epsilon)))
        result = []
        for j, value in enumerate(values):
            y = fl32(fl32(fl32(fl32(value * real) - mean) * inverse) * scale[j])
            y = y if bias is None else fl32(y + bias[j])
            result.append(_written(node, fl32(y * unit)))
        return result

    return along(source, _axes_behind(node), row)


@oracle("RMSNormalization")
def rms_normalization(node: Node) -> Array:
    source, scale = node.x(), node.x(1).values
    real = power_of_two(_exponent(source))
    epsilon = fl32(node.attributes.get("epsilon", 1e-5))
    unit = power_of_two(-node.y().exponent)

    def row(values: list[Any]) -> list[Any]:
        if source.dtype == "float32":
            squares = total(fl32(value * value) for value in values)
        else:
            squares = fl32(float(sum(value * value for value in values)))
        mean = fl32(fl32(squares * fl32(real * real)) / len(values))
        inverse = divide(1.0, sqrtf(fl32(mean + epsilon)))
        inverse = fl32(fl32(inverse * real) * unit)
        return [_written(node, fl32(fl32(value * inverse) * scale[j])) for j, value in enumerate(values)]

    return along(source, _axes_behind(node), row)


@oracle("LpNormalization")
def lp_normalization(node: Node) -> Array:
    """Of the raw values: the scale of the input cancels."""
    source, p = node.x(), node.attributes.get("p", 2)
    unit = power_of_two(-node.y().exponent)

    def row(values: list[Any]) -> list[Any]:
        terms = [value * value if p == 2 else abs(value) for value in values]
        added = total(fl32(term) for term in terms) if source.dtype == "float32" else fl32(float(sum(terms)))
        norm = sqrtf(added) if p == 2 else added
        if norm == 0:
            return [_written(node, 0.0)] * len(values)
        factor = fl32(divide(1.0, norm) * unit)
        return [_written(node, fl32(value * factor)) for value in values]

    return along(source, [node.attributes.get("axis", -1) % len(source.shape)], row)
