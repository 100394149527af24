"""Relu."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.unary import Unary


class Relu(Unary, op_type="Relu"):
    """``max(x, 0)``. A Relu behind Conv, Gemm or MatMul is fused into it at export and never gets here."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.maximum(x, 0)
