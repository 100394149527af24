"""Tanh."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.unary import Unary, tanh


class Tanh(Unary, op_type="Tanh"):
    """``2 * sigmoid(2 * x) - 1``, the form that the chip evaluates (runtime spec 3.6)."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return tanh(x)
