"""Transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import axes_in, common_dtype, given, input_shape, integers_attribute
from espdl.dl.module.contract import Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class Transpose(Module, op_type="Transpose"):
    """Axes in another order. Attribute ``perm``; empty reverses them; entries may count from the end."""

    quantization = Quantization(passive=True)

    def configure(self) -> None:
        self.perm = integers_attribute(self, "perm")

    def _permutation(self, rank: int) -> list[int]:
        if not self.perm:
            return list(range(rank))[::-1]
        if len(self.perm) != rank:
            raise EspdlError(f"perm {self.perm} does not fit a tensor of rank {rank}")
        return axes_in(self.perm, rank)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        return [[source[axis] for axis in self._permutation(len(source))]]

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(x.transpose(self._permutation(x.ndim)))

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        return machine.kernels.move_step([(target.data, source.data.transpose(self._permutation(source.data.ndim)))])
