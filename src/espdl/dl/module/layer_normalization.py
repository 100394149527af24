"""LayerNormalization (runtime spec 3.8)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import (
    axis_in,
    common_dtype,
    float_attribute,
    given,
    input_shape,
    integer_attribute,
    optional,
    tensor_exponent,
)
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Limit, NodeFacts
from espdl.dl.module.sums import quietly, sequential_sum, sqrt_newton
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError
from espdl.rounding import dequantize, quantize
from espdl.tensor import TensorBase
from espdl.wording import counted


def _one_output(node: NodeFacts) -> bool:
    return len(node.output_shapes) < 2


class LayerNormalization(Module, op_type="LayerNormalization"):
    """``(x - mean) / sqrt(var + epsilon) * scale + bias`` over the axes from attribute ``axis`` (-1) on; ``epsilon`` (1e-5).

    Inputs X, scale, bias (optional), all of one type, each with its own exponent.
    """

    default_inplace = Inplace.CHANGED_BUFFER
    contract = Contract(
        INTEGER_AND_FLOAT, limits=(Limit("mean and deviation are not outputs", _one_output, "compute them with ReduceMean"),)
    )

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", -1)
        self.epsilon = np.float32(float_attribute(self, "epsilon", 1e-5))

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        axis_in(self.axis, len(source))
        return [source]

    def float_forward(self, x: NDArray[Any], scale: NDArray[Any], bias: NDArray[Any] | None = None) -> NDArray[Any]:
        rows = np.asarray(x, dtype=np.float32).reshape(-1, prod(x.shape[self.axis % x.ndim :]))
        total = sequential_sum(rows).astype(np.float64)
        return self._normalize(rows, total, 0, scale.ravel(), None if bias is None else bias.ravel()).reshape(x.shape)

    @quietly
    def _normalize(
        self,
        rows: NDArray[Any],
        total: NDArray[Any],
        exponent: int,
        scale: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """Rows of raw values [R, inner] with their sums [R]; scale and bias [inner] as real numbers."""
        inner = rows.shape[1]
        real = np.ldexp(np.float32(1), exponent)
        mean = (total * 1.0 / inner).astype(np.float32)[:, None]
        deviation = rows.astype(np.float32) - mean
        variance = sequential_sum(deviation * deviation)[:, None]
        mean = mean * real
        variance = variance * (real * real) / np.float32(inner)
        root = np.sqrt if self.strict_onnx else sqrt_newton
        inverse = np.float32(1) / root(variance + self.epsilon)
        result = ((rows.astype(np.float32) * real - mean) * inverse) * scale
        return result if bias is None else result + bias

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, scale, bias = given(inputs, 0, "X"), given(inputs, 1, "scale"), optional(inputs, 2)
        if len(outputs) != 1:
            raise EspdlError(counted(len(outputs), "output"), why="only the normalized values are computed here")
        target = outputs[0]
        dtype = common_dtype(self, (source, scale, target) if bias is None else (source, scale, bias, target))
        inner = prod(source.shape[axis_in(self.axis, source.data.ndim) :])
        if any(t is not None and t.size != inner for t in (scale, bias)):
            raise EspdlError(f"scale and bias must have {inner} values, one for each normalized one")
        if dtype is DType.FLOAT:
            return super().bind(inputs, outputs, machine)
        exponent, output_exponent = tensor_exponent(source), tensor_exponent(target)
        scale_exponent = tensor_exponent(scale)
        bias_exponent = 0 if bias is None else tensor_exponent(bias)
        rounding = machine.chip.rounding

        def step() -> None:
            rows = source.data.reshape(-1, inner)
            result = self._normalize(
                rows,
                rows.sum(axis=1, dtype=np.int64),
                exponent,
                dequantize(scale.data.ravel(), scale_exponent),
                None if bias is None else dequantize(bias.data.ravel(), bias_exponent),
            )
            target.data[...] = quantize(result, output_exponent, dtype.numpy, rounding).reshape(target.data.shape)

        return step
