"""Sqrt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.contract import Quantization
from espdl.dl.module.unary import Unary


class Sqrt(Unary, op_type="Sqrt"):
    """Square root. What a chip makes of a negative argument on integers is undefined; here it is 0."""

    quantization = Quantization(table=True, prefers_float=True)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.sqrt(x)
