"""RMSNormalization and LpNormalization (runtime spec 3.8)."""

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
    tensor_exponent,
    type_name,
)
from espdl.dl.module.contract import Layout, LayoutRule, Quantization
from espdl.dl.module.sums import quietly, sequential_sum
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError
from espdl.rounding import quantize
from espdl.tensor import TensorBase


class RMSNormalization(Module, op_type="RMSNormalization"):
    """``x / sqrt(mean(x * x) + epsilon) * scale`` over the axes from attribute ``axis`` (-1) on; ``epsilon`` (1e-5).

    Inputs X and scale; the scale is float32 whatever X is.
    """

    default_inplace = Inplace.CHANGED_BUFFER
    quantization = Quantization(float_inputs=frozenset({1}))

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", -1)
        self.epsilon = np.float32(float_attribute(self, "epsilon", 1e-5))

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        axis_in(self.axis, len(source))
        return [source]

    @quietly
    def float_forward(self, x: NDArray[Any], scale: NDArray[Any]) -> NDArray[Any]:
        rows = np.asarray(x, dtype=np.float32).reshape(-1, prod(x.shape[self.axis % x.ndim :]))
        inverse = self._inverse(sequential_sum(rows * rows), rows.shape[1], 0)
        return ((rows * inverse) * scale.ravel()).reshape(x.shape)

    def _inverse(self, squares: NDArray[Any], inner: int, exponent: int) -> NDArray[np.float32]:
        """1 / rms of rows [R] whose sums of raw squares are given, as a column [R, 1]."""
        real = np.ldexp(np.float32(1), exponent)
        mean = squares.astype(np.float32) * (real * real) / np.float32(inner)
        return (np.float32(1) / np.sqrt(mean + self.epsilon))[:, None]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, scale, target = given(inputs, 0, "X"), given(inputs, 1, "scale"), outputs[0]
        dtype = common_dtype(self, (source, target))
        inner = prod(source.shape[axis_in(self.axis, source.data.ndim) :])
        if scale.dtype is not DType.FLOAT:
            raise EspdlError(f"a scale of type {type_name(scale.dtype)}", why="the chip reads it as float32")
        if scale.size != inner:
            raise EspdlError(f"a scale of {scale.size} values", why=f"{inner} values are normalized together")
        if dtype is DType.FLOAT:
            return super().bind(inputs, outputs, machine)
        exponent, shift = tensor_exponent(source), tensor_exponent(source) - tensor_exponent(target)
        rounding = machine.chip.rounding
        accumulator = np.dtype(np.int32 if dtype is DType.INT8 else np.int64)

        @quietly
        def step() -> None:
            rows = source.data.reshape(-1, inner)
            wide = rows.astype(accumulator)
            inverse = np.ldexp(self._inverse(np.sum(wide * wide, axis=1, dtype=accumulator), inner, exponent), shift)
            result = (rows.astype(np.float32) * inverse) * scale.data.ravel()
            target.data[...] = quantize(result, 0, dtype.numpy, rounding).reshape(target.data.shape)

        return step


class LpNormalization(Module, op_type="LpNormalization"):
    """``x / norm(x)`` along attribute ``axis`` (-1), with ``p`` 1 or 2 (2); rows of zeros stay zero.

    On integers the norm is that of the raw values: the exponent of the input cancels.
    """

    default_inplace = Inplace.CHANGED_BUFFER
    layout = LayoutRule(Layout.AXES, axis_attributes=("axis",))

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", -1)
        self.p = integer_attribute(self, "p", 2)
        if self.p not in (1, 2):
            raise EspdlError(f"p {self.p}", why="the norm is of order 1 or 2")

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        axis_in(self.axis, len(source))
        return [source]

    @quietly
    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        rows = np.moveaxis(np.asarray(x, dtype=np.float32), self.axis, -1)
        norm = self._root(sequential_sum(rows * rows if self.p == 2 else np.abs(rows)))
        return np.moveaxis(rows * _reciprocal(norm)[..., None], -1, self.axis)

    def _root(self, total: NDArray[Any]) -> NDArray[np.float32]:
        return np.sqrt(total.astype(np.float32)) if self.p == 2 else total.astype(np.float32)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        dtype = common_dtype(self, (source, target))
        axis_in(self.axis, source.data.ndim)
        if dtype is DType.FLOAT:
            return super().bind(inputs, outputs, machine)
        output_exponent, rounding = tensor_exponent(target), machine.chip.rounding
        accumulator = np.dtype(np.int32 if dtype is DType.INT8 else np.int64)

        @quietly
        def step() -> None:
            rows = np.moveaxis(source.data, self.axis, -1)
            wide = rows.astype(accumulator)
            norm = self._root(np.sum(wide * wide if self.p == 2 else np.abs(wide), axis=-1, dtype=accumulator))
            factor = np.ldexp(_reciprocal(norm), -output_exponent)
            result = quantize(rows.astype(np.float32) * factor[..., None], 0, dtype.numpy, rounding)
            target.data[...] = np.moveaxis(result, -1, self.axis)

        return step


def _reciprocal(norm: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / norm, and 0 for 0."""
    return np.divide(np.float32(1), norm, out=np.zeros_like(norm), where=norm != 0)
