"""Swish (SiLU)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.unary import Unary, sigmoid


class Swish(Unary, op_type="Swish"):
    """``x * sigmoid(x)``. In an ONNX network it is a Sigmoid and a Mul, fused before quantization."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return sigmoid(x) * x
