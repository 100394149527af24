"""Operators of one value (runtime spec 3.6): a table at 8 bits where one is attached, else a function of the real value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cases.oracle.floats import expf, logf, sigmoid, sqrtf, tanh
from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import dequantize, fl32, power_of_two, quantize, round_float, saturate

Attributes = dict[str, Any]


def looked_up8(node: Node) -> Array:
    """``table[x + 128]``."""
    assert node.lut is not None
    table = node.lut.values
    return node.x().map(lambda value: table[value + 128])


def _clamped(x: float) -> float:
    return max(0.0, min(1.0, x))


def _leaky_relu(x: float, attributes: Attributes) -> float:
    return x if x >= 0 else fl32(x * fl32(attributes.get("alpha", 0.01)))


def _elu(x: float, attributes: Attributes) -> float:
    return x if x >= 0 else fl32(fl32(attributes.get("alpha", 1.0)) * fl32(expf(x) - 1))


def _hard_sigmoid(x: float, attributes: Attributes) -> float:
    alpha, beta = fl32(attributes.get("alpha", 0.2)), fl32(attributes.get("beta", 0.5))
    return _clamped(fl32(fl32(alpha * x) + beta))


FUNCTIONS: dict[str, Callable[[float, Attributes], float]] = {
    "Relu": lambda x, _: max(x, 0.0),
    "LeakyRelu": _leaky_relu,
    "Elu": _elu,
    "Sigmoid": lambda x, _: sigmoid(x),
    "Tanh": lambda x, _: tanh(x),
    "Swish": lambda x, _: fl32(sigmoid(x) * x),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda x, _: fl32(_clamped(0.166667 * x + 0.5) * x),  # in binary64, with six digits of a sixth
    "Exp": lambda x, _: expf(x),
    "Log": lambda x, _: logf(x),
    "Sqrt": lambda x, _: sqrtf(x),
}


@oracle(*FUNCTIONS)
def activation(node: Node) -> Array:
    """A 16-bit table is not looked at."""
    source, result = node.x(), node.y()
    function = FUNCTIONS[node.op_type]
    if source.dtype == "float32":
        return source.map(lambda value: function(value, node.attributes))
    if node.lut is not None and source.dtype == "int8":
        return looked_up8(node)
    exponent = source.exponent
    assert isinstance(exponent, int)

    def element(value: int) -> int:
        return quantize(function(dequantize(value, exponent), node.attributes), result.exponent, result.dtype, node.rounding)

    return source.map(element)


@oracle("Neg")
def neg(node: Node) -> Array:
    """Raw integers: neither exponents nor a table are looked at."""
    source = node.x()
    if source.dtype == "float32":
        return source.map(lambda value: -value)
    return source.map(lambda value: saturate(-value, source.dtype))


@oracle("Clip")
def clip(node: Node) -> Array:
    """Integers are clamped raw and rescaled. In float32 a missing lower bound is the smallest normal number."""
    source, result = node.x(), node.y()
    low, high = (node.x(index).values[0] if node.has(index) else None for index in (1, 2))
    if source.dtype == "int8" and node.lut is not None:
        return looked_up8(node)
    if source.dtype == "float32" and low is None and len(node.inputs) > 1:
        low = power_of_two(-126)

    def clamped(value: Any) -> Any:
        value = value if low is None else max(value, low)
        return value if high is None else min(value, high)

    if source.dtype == "float32":
        return source.map(clamped)
    exponent = source.exponent
    assert isinstance(exponent, int)
    scale = power_of_two(exponent - result.exponent)
    return source.map(lambda value: saturate(round_float(fl32(clamped(value) * scale), node.rounding), result.dtype))
