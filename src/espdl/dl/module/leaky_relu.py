"""LeakyRelu."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.checks import float_attribute
from espdl.dl.module.unary import Unary


class LeakyRelu(Unary, op_type="LeakyRelu"):
    """``x`` where it is not negative, else ``alpha * x``. Attribute ``alpha`` (0.01)."""

    def configure(self) -> None:
        self.alpha = float_attribute(self, "alpha", 0.01)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.where(x >= 0, x, x * self.alpha)
