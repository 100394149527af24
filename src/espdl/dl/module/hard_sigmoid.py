"""HardSigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.checks import float_attribute
from espdl.dl.module.unary import Unary


class HardSigmoid(Unary, op_type="HardSigmoid"):
    """``max(0, min(1, alpha * x + beta))``. Attributes ``alpha`` (0.2), ``beta`` (0.5)."""

    def configure(self) -> None:
        self.alpha = float_attribute(self, "alpha", 0.2)
        self.beta = float_attribute(self, "beta", 0.5)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.clip(x * self.alpha + self.beta, 0, 1)
