"""Rounding and saturation of runtime spec 2.2, written anew in Python numbers; slow and obvious on purpose."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

HALF_UP = "half_up"
HALF_EVEN = "half_even"

RANGES = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}


def saturate(value: int, dtype: str) -> int:
    """The nearest value that the integer type holds."""
    low, high = RANGES[dtype]
    return max(low, min(high, value))


def clamp(value: int, bits: int) -> int:
    """The nearest value of a signed lane of that many bits."""
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, value))


def wrap(value: int, bits: int) -> int:
    """The low bits, read as a signed number."""
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def fl32(value: float | Fraction) -> float:
    """The nearest binary32 number. A quotient, product, sum or root of binary32 numbers may come in binary64: rounding twice is exact."""
    if isinstance(value, Fraction):
        return _fraction_to_fl32(value)
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _fraction_to_fl32(value: Fraction) -> float:
    """Rounded once, ties to even: 24 digits, no less than 2**-149."""
    if value == 0:
        return 0.0
    exponent = 0
    while abs(value) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** max(exponent - 23, -149)
    rounded = round(value / step) * step
    return math.copysign(math.inf, value) if abs(rounded) >= Fraction(2) ** 128 else float(rounded)


def power_of_two(exponent: int) -> float:
    """``2**exponent``, exact."""
    return math.ldexp(1.0, exponent)


def round_exact(value: int | Fraction, mode: str) -> int:
    """A number known exactly. Half-up rounds ties up, towards plus infinity."""
    if mode == HALF_EVEN:
        return round(Fraction(value))
    return math.floor(Fraction(value) + Fraction(1, 2))


def round_float(value: float, mode: str) -> int:
    """A binary32 value. Half-up adds 0.5 in binary32 first. Infinities become what saturates every type; NaN 0."""
    if math.isnan(value):
        return 0
    if math.isinf(value):
        return 2**62 if value > 0 else -(2**62)
    if mode == HALF_EVEN:
        return round(value)
    return math.floor(fl32(value + 0.5))


def round_double(value: float, mode: str) -> int:
    """A binary64 value. Half-even has a tolerance of 1e-6 around ties."""
    if mode == HALF_UP:
        return math.floor(value + 0.5)
    moved = value + (0.5 if value >= 0 else -0.5)
    result = math.trunc(moved)
    if abs(moved - result) < 1e-6 and result % 2:
        result -= 1 if value >= 0 else -1
    return result


def shift_and_round(value: int, shift: int, mode: str) -> int:
    """``value / 2**shift``, rounded. Not saturated: every caller does that with its own type."""
    if shift <= 0:
        return value << -shift
    return round_exact(Fraction(value, 2**shift), mode)


def dequantize(value: int, exponent: int) -> float:
    """``(float)value * 2**exponent``, binary32."""
    return fl32(fl32(float(value)) * power_of_two(exponent))


def quantize(value: float, exponent: int, dtype: str, mode: str) -> int:
    """``sat(round(fl32(value * 2**-exponent)))`` for a binary32 value."""
    return saturate(round_float(fl32(value * power_of_two(-exponent)), mode), dtype)
