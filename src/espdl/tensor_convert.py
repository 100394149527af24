"""What assigning one tensor to another does to the values (runtime spec 2.3).

Also the body of QuantizeLinear, DequantizeLinear, RequantizeLinear and Identity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.dtypes import DType
from espdl.exponent import ExponentInfo
from espdl.rounding import Rounding, quantize, round_float, saturate

_QUANTIZED = (DType.INT8, DType.INT16)
_SMALL = (DType.INT8, DType.UINT8, DType.INT16, DType.UINT16)
_READ_AS_SIGNED: dict[DType, np.dtype] = {DType.UINT8: np.dtype("i1"), DType.UINT16: np.dtype("<i2")}
_TIE = 1e-6
"""How near to a half a binary64 value counts as a tie when rounding half to even (spec 2.2)."""


def convert(
    values: NDArray,
    source: DType,
    source_exponent: ExponentInfo,
    target: DType,
    target_exponent: ExponentInfo,
    rounding: Rounding,
) -> NDArray | None:
    """Values of one type and exponent as another, evaluated in the order of spec 2.3.

    Args:
        values: any shape, type ``source.numpy``.
        rounding: of the chip.

    Returns:
        Values of type ``target.numpy`` (``values`` itself where nothing changes), or None where the runtime refuses; see :func:`refusal`.
    """
    if refusal(source, source_exponent, target, target_exponent):
        return None
    if source is target and source_exponent == target_exponent:
        return values
    if source is DType.FLOAT:
        return quantize(values, int(target_exponent), target.numpy, rounding)
    if source is DType.DOUBLE:
        with np.errstate(over="ignore", invalid="ignore"):
            return saturate(_round_double(np.ldexp(values, -int(target_exponent)), rounding), target.numpy)
    if target in (DType.FLOAT, DType.DOUBLE):
        signed = values.view(_READ_AS_SIGNED[source]) if source in _READ_AS_SIGNED else values
        return np.ldexp(signed.astype(target.numpy), int(source_exponent))
    if source_exponent == target_exponent:
        return saturate(values, target.numpy)
    # A product with a power of two is exact in binary32, so dequantizing and quantizing need not be two steps.
    scaled = np.ldexp(values.astype(np.float32), int(source_exponent) - int(target_exponent))
    return saturate(round_float(scaled, rounding), target.numpy)


def refusal(source: DType, source_exponent: ExponentInfo, target: DType, target_exponent: ExponentInfo) -> str:
    """Why the runtime does not assign ``source`` to ``target``; empty when it does."""
    same = source is target and source_exponent == target_exponent
    if same:
        return ""
    if source_exponent.is_per_channel() or target_exponent.is_per_channel():
        return "tensors with one exponent per channel are assigned only where type and exponents are equal"
    if source in (DType.FLOAT, DType.DOUBLE):
        accepted = target in _QUANTIZED
    elif target in (DType.FLOAT, DType.DOUBLE):
        accepted = source in _SMALL
    else:
        accepted = source in _QUANTIZED and target in _QUANTIZED
    if accepted:
        return ""
    if source is target:
        return f"{source.name} tensors are assigned only where the exponents are equal ({int(source_exponent)}, {int(target_exponent)})"
    return f"the runtime does not convert {source.name} to {target.name}"


def _round_double(values: NDArray[np.float64], rounding: Rounding) -> NDArray[np.float64]:
    if rounding is Rounding.HALF_UP:
        return np.asarray(round_float(values, rounding), dtype=np.float64)
    moved = values + np.copysign(0.5, values)
    whole = np.trunc(moved)
    tie = (np.abs(moved - whole) < _TIE) & (np.mod(whole, 2) != 0)
    return np.asarray(np.where(tie, whole - np.copysign(1.0, values), whole), dtype=np.float64)
