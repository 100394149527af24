"""Single values between real and integer, with the guide's functions (guide 3.3.4, 3.3.5, runtime spec 2.2).

Whole tensors are converted by ``TensorBase.assign``.
"""

from __future__ import annotations

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from espdl.dtypes import DType
from espdl.exponent import ExponentInfo
from espdl.rounding import Rounding, round_float, saturate


def DL_SCALE(exponent: SupportsIndex | ExponentInfo) -> np.float32:
    """``2**exponent``, by which integers of that exponent are multiplied to be real."""
    return np.float32(np.ldexp(1.0, int(exponent)))


def DL_RESCALE(exponent: SupportsIndex | ExponentInfo) -> np.float32:
    """``2**-exponent``, by which real values are multiplied to be integers of that exponent."""
    return np.float32(np.ldexp(1.0, -int(exponent)))


def quantize(
    value: ArrayLike, inv_scale: float, dtype: DTypeLike | DType = np.int8, rounding: Rounding = Rounding.HALF_UP
) -> Any:
    """``saturate(round(fl32(value * inv_scale)))``.

    Args:
        value: real, of any shape; computed in binary32.
        inv_scale: :func:`DL_RESCALE` of the exponent.
        dtype: integer type of the result.
        rounding: of the chip: ``model.chip.rounding``.

    Returns:
        A NumPy integer, or an array of them in the shape of ``value``.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.asarray(value, dtype=np.float32) * np.float32(inv_scale)
        return saturate(round_float(scaled, rounding), dtype.numpy if isinstance(dtype, DType) else np.dtype(dtype))[()]


def dequantize(value: ArrayLike, scale: float) -> Any:
    """``fl32(value) * scale``, with :func:`DL_SCALE` of the exponent: a NumPy binary32 number, or an array of them."""
    return (np.asarray(value).astype(np.float32) * np.float32(scale))[()]
