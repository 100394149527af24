"""InsertZeros: the first half of a transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, given, input_shape, integers_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class InsertZeros(Module, op_type="InsertZeros"):
    """``stride - 1`` zeros between neighbouring pixels and ``output_padding`` zeros behind the last, per spatial axis (spec 3.13).

    Input [N, W, C] or [N, H, W, C]; both attributes list one entry per spatial axis. Values are copied as they are: output and input
    must have the same exponent.
    """

    contract = Contract(INTEGER_AND_FLOAT, ranks=(3, 4))
    quantization = Quantization(passive=True)
    layout = LayoutRule(Layout.CHANNELS_LAST)

    def configure(self) -> None:
        self.stride = integers_attribute(self, "stride")
        self.output_padding = integers_attribute(self, "output_padding", [0] * len(self.stride))
        if len(self.stride) not in (1, 2) or len(self.output_padding) != len(self.stride):
            raise EspdlError(f"stride {self.stride}, output_padding {self.output_padding}", why="one entry per spatial axis")
        if min(self.stride) < 1 or min(self.output_padding) < 0:
            raise EspdlError(
                f"stride {self.stride}, output_padding {self.output_padding}", why="strides start at 1, paddings at 0"
            )

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if len(source) != len(self.stride) + 2:
            raise EspdlError(f"{len(self.stride)} strides for a tensor of shape {source}")
        spatial = [
            dim + (stride - 1) * (dim - 1) + padding
            for dim, stride, padding in zip(source[1:-1], self.stride, self.output_padding, strict=True)
        ]
        return [[source[0], *spatial, source[-1]]]

    def _places(self, shape: Sequence[int]) -> tuple[slice, ...]:
        spatial = (slice(0, (dim - 1) * stride + 1, stride) for dim, stride in zip(shape[1:-1], self.stride, strict=True))
        return (slice(None), *spatial)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        result = np.zeros(self.get_output_shape([list(x.shape)])[0], dtype=x.dtype)
        result[self._places(x.shape)] = x
        return result

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        zero = np.zeros(1, target.data.dtype)
        return machine.kernels.move_step([(target.data[self._places(source.shape)], source.data)], (target.data, zero))
