"""Exp."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.unary import Unary, exp


class Exp(Unary, op_type="Exp"):
    """Natural exponential."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return exp(x)
