"""Neg."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.contract import Quantization
from espdl.dl.module.unary import Unary
from espdl.rounding import Rounding, saturate


class Neg(Unary, op_type="Neg"):
    """``-x``. On integers the exponents are not looked at, an attached table neither, and the lowest value gives the highest."""

    quantization = Quantization(passive=True)
    reads_table = False

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return -x

    def integer_table(self, dtype: np.dtype, input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        limits = np.iinfo(dtype)
        return saturate(-np.arange(limits.min, limits.max + 1), dtype)
