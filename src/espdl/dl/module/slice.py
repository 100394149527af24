"""Slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, constant_integers, given, input_shape
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Quantization, constants
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from espdl.tensor_ops import slice_indices


class Slice(Module, op_type="Slice"):
    """A regular part of input 0. Constant inputs: starts, ends, axes (all, from the front), steps (1); negative ones count as in ONNX."""

    contract = Contract(
        INTEGER_AND_FLOAT,
        limits=(constants("starts, ends, axes and steps are constants", 1),),
    )
    quantization = Quantization(float_inputs=frozenset({1, 2, 3, 4}), passive=True)
    layout = LayoutRule(Layout.AXES, axes_inputs=(3,))

    def configure(self) -> None:
        starts, ends = constant_integers(self, 1, "starts"), constant_integers(self, 2, "ends")
        if starts is None or ends is None:
            raise EspdlError("starts and ends must be constants", hint="fold constants before exporting")
        axes, steps = constant_integers(self, 3, "axes"), constant_integers(self, 4, "steps")
        self.starts, self.ends, self.axes, self.steps = starts, ends, axes, steps

    def _slices(self, shape: Sequence[int]) -> tuple[slice, ...]:
        return slice_indices(shape, self.starts, self.ends, self.axes, self.steps)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        slices = self._slices(source)
        return [[len(range(*s.indices(d))) for s, d in zip(slices, source, strict=True)]]

    def float_forward(self, x: NDArray[Any], *_: Any) -> NDArray[Any]:
        return x[self._slices(x.shape)]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        return machine.kernels.move_step([(target.data, source.data[self._slices(source.shape)])])
