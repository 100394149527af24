"""Sigmoid."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.unary import Unary, sigmoid


class Sigmoid(Unary, op_type="Sigmoid"):
    """``1 / (1 + exp(-x))``."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return sigmoid(x)
