"""Elu."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.checks import float_attribute
from espdl.dl.module.unary import Unary, exp


class Elu(Unary, op_type="Elu"):
    """``x`` where it is not negative, else ``alpha * (exp(x) - 1)``. Attribute ``alpha`` (1)."""

    def configure(self) -> None:
        self.alpha = float_attribute(self, "alpha", 1.0)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.where(x >= 0, x, (exp(np.minimum(x, 0)) - 1) * self.alpha)
