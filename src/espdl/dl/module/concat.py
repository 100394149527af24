"""Concat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import axis_in, common_dtype, given, input_shape, integer_attribute
from espdl.dl.module.contract import Align, Layout, LayoutRule, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class Concat(Module, op_type="Concat"):
    """Inputs one behind the other along attribute ``axis``. Values are copied as they are: all exponents must be equal."""

    quantization = Quantization(align=Align.INPUTS_TO_OUTPUT)
    layout = LayoutRule(Layout.CONCAT, axis_attributes=("axis",))

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", 0)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        result = input_shape(input_shapes)
        axis = axis_in(self.axis, len(result))
        for shape in input_shapes[1:]:
            if len(shape) != len(result) or any(a != b for i, (a, b) in enumerate(zip(shape, result, strict=True)) if i != axis):
                raise EspdlError(f"shapes that differ outside axis {axis}: {[list(s) for s in input_shapes]}")
            result[axis] += int(shape[axis])
        return [result]

    def float_forward(self, *arrays: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate(arrays, axis=self.axis)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        sources = [given(inputs, i, "input") for i in range(len(inputs))]
        target = outputs[0]
        common_dtype(self, (*sources, target), tuple(DType))
        axis = axis_in(self.axis, target.data.ndim)
        moves: list[tuple[NDArray, NDArray]] = []
        start = 0
        for source in sources:
            stop = start + source.shape[axis]
            moves.append((target.data[(slice(None),) * axis + (slice(start, stop),)], source.data))
            start = stop
        return machine.kernels.move_step(moves)
