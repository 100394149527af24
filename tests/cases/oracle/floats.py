"""Functions of binary32 numbers, each result rounded to binary32, in the forms the runtime evaluates (runtime spec 3.6, 3.8)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tests.cases.oracle.rounding import fl32


def expf(x: float) -> float:
    """Infinity where the exponential leaves binary32."""
    try:
        return fl32(math.exp(x))
    except OverflowError:
        return math.inf


def logf(x: float) -> float:
    """Minus infinity at 0, NaN below, which the specification leaves open."""
    if math.isnan(x) or x < 0:
        return math.nan
    if x == 0:
        return -math.inf
    return math.inf if math.isinf(x) else fl32(math.log(x))


def sqrtf(x: float) -> float:
    """NaN below 0, which the specification leaves open."""
    return fl32(math.sqrt(x)) if x >= 0 else math.nan


def divide(a: float, b: float) -> float:
    """A quotient with the infinities and NaN of IEEE 754."""
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1.0, b)
    return fl32(a / b)


def total(values: Iterable[float]) -> float:
    """A sum, one after the other."""
    result = 0.0
    for value in values:
        result = fl32(result + value)
    return result


def sigmoid(x: float) -> float:
    """The division is made in binary64."""
    return fl32(1.0 / (1.0 + expf(-x)))


def tanh(x: float) -> float:
    """By the sigmoid of the doubled argument."""
    return fl32(fl32(2 * sigmoid(fl32(2 * x))) - 1)


def sqrt_newton(x: float) -> float:
    """Newton's iteration until a step is at most 1e-5."""
    if x == 0:
        return 0.0
    root = x
    for _ in range(200):
        last = root
        root = fl32(fl32(last + fl32(x / last)) * 0.5)
        if abs(fl32(root - last)) <= fl32(1e-5):
            return root
    raise AssertionError(f"the chip never finds the root of {x}: no case of a table")
