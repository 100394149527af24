"""Softmax and LogSoftmax (runtime spec 3.7). The output is float32 whatever the input is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import (
    axis_in,
    common_dtype,
    given,
    input_shape,
    integer_attribute,
    tensor_exponent,
    type_name,
)
from espdl.dl.module.contract import Layout, LayoutRule, Quantization
from espdl.dl.module.sums import sequential_sum
from espdl.dl.module.unary import exp, log
from espdl.dl.quirk import Site
from espdl.dl.quirk_sites import exponential_overflows
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class Softmax(Module, op_type="Softmax"):
    """``exp(x) / sum(exp(x))`` along attribute ``axis`` (-1).

    8-bit inputs go through a table of exponentials and their maximum is not subtracted: with an exponent of 0 or more large inputs
    overflow, as on the chip. 16-bit and float32 inputs have their maximum subtracted first.
    """

    quantization = Quantization(float_outputs=frozenset({0}), largest_exponent=-1)
    layout = LayoutRule(Layout.AXES, axis_attributes=("axis",))
    is_logarithm: ClassVar[bool] = False

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", -1)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if source:
            axis_in(self.axis, len(source))
        return [source]

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        rows = self._rows(x)
        shifted = rows - rows.max(axis=-1, keepdims=True)
        return self._back(self._from_shifted(shifted), x)

    def _rows(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(np.atleast_1d(x), self.axis, -1)

    def _back(self, rows: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(rows, -1, self.axis).reshape(x.shape)

    def _from_shifted(self, shifted: NDArray[Any]) -> NDArray[Any]:
        """From rows whose maximum is subtracted, in the precision of ``shifted``."""
        exponentials = exp(shifted)
        return exponentials / sequential_sum(exponentials, exponentials.dtype)[..., None]

    def _from_table(self, rows: NDArray[np.int8], table: NDArray[np.float32], exponent: int) -> NDArray[np.float32]:
        """From raw 8-bit rows and the exponential of every 8-bit value."""
        exponentials = table[rows.view(np.uint8)]
        return exponentials / sequential_sum(exponentials)[..., None]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        dtype = common_dtype(self, (source,))
        if target.dtype is not DType.FLOAT:
            raise EspdlError(f"an output of type {type_name(target.dtype)}", why=f"the chip's {self.op_type} writes float32")
        if source.data.ndim:
            axis_in(self.axis, source.data.ndim)
        exponent = tensor_exponent(source)
        as_onnx = machine.strict_onnx and exponential_overflows(Site(self, inputs, outputs, machine))
        # Indexed by bit pattern: 0 to 127, then -128 to -1.
        bits = np.arange(256).astype(np.uint8).view(np.int8)
        table = _exponentials(bits, exponent) if dtype is DType.INT8 and not as_onnx else None
        is_last = source.data.ndim > 0 and axis_in(self.axis, source.data.ndim) == source.data.ndim - 1
        if table is not None and is_last and not self.is_logarithm:
            return machine.kernels.softmax_step(table, source.data, target.data)

        def step() -> None:
            with np.errstate(all="ignore"):
                if table is not None:
                    result = self._from_table(self._rows(source.data), table, exponent)
                elif dtype is not DType.FLOAT:
                    rows = self._rows(source.data).astype(np.int32)
                    result = self._from_shifted(np.ldexp((rows - rows.max(axis=-1, keepdims=True)).astype(np.float32), exponent))
                else:
                    result = self._rows(self.float_forward(source.data))
                target.data[...] = self._back(result, source.data)

        return step


class LogSoftmax(Softmax, op_type="LogSoftmax"):
    """``x - log(sum(exp(x)))`` along attribute ``axis`` (-1), with the sums of :class:`Softmax`."""

    is_logarithm = True

    def _from_shifted(self, shifted: NDArray[Any]) -> NDArray[Any]:
        exponentials = exp(shifted)
        return shifted - log(sequential_sum(exponentials, exponentials.dtype))[..., None]

    def _from_table(self, rows: NDArray[np.int8], table: NDArray[np.float32], exponent: int) -> NDArray[np.float32]:
        total = sequential_sum(table[rows.view(np.uint8)])
        return np.ldexp(rows.astype(np.float32), exponent) - log(total)[..., None]


def _exponentials(values: NDArray[np.int8], exponent: int) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return exp(np.ldexp(values.astype(np.float32), exponent))
