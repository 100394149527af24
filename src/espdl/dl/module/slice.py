"""Slice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import axes_in, common_dtype, constant_integers, given, input_shape
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def _bounds_are_constant(node: NodeFacts) -> bool:
    return all(shape is None or i in node.constants for i, shape in enumerate(node.input_shapes) if i > 0)


class Slice(Module, op_type="Slice"):
    """A regular part of input 0. Constant inputs: starts, ends, axes (all, from the front), steps (1); negative ones count as in ONNX."""

    contract = Contract(
        INTEGER_AND_FLOAT,
        limits=(Limit("starts, ends, axes and steps are constants", _bounds_are_constant, "fold constants before quantizing"),),
    )
    quantization = Quantization(float_inputs=frozenset({1, 2, 3, 4}), passive=True)
    layout = LayoutRule(Layout.AXES, axes_inputs=(3,))

    def configure(self) -> None:
        starts, ends = constant_integers(self, 1, "starts"), constant_integers(self, 2, "ends")
        if starts is None or ends is None:
            raise EspdlError("starts and ends must be constants", hint="fold constants before exporting")
        axes, steps = constant_integers(self, 3, "axes"), constant_integers(self, 4, "steps")
        self.starts, self.ends = starts, ends
        self.axes = list(range(len(starts))) if axes is None else axes
        self.steps = [1] * len(starts) if steps is None else steps
        if len({len(starts), len(ends), len(self.axes), len(self.steps)}) != 1:
            raise EspdlError("starts, ends, axes and steps differ in length")
        if 0 in self.steps:
            raise EspdlError("a step of 0")

    def _slices(self, shape: Sequence[int]) -> tuple[slice, ...]:
        result = [slice(None)] * len(shape)
        for axis, start, end, step in zip(axes_in(self.axes, len(shape)), self.starts, self.ends, self.steps, strict=True):
            first, last, step = slice(start, end, step).indices(shape[axis])
            result[axis] = slice(first, last if last >= 0 else None, step)
            if not range(first, last, step):
                raise EspdlError(f"nothing is left of axis {axis}, {shape[axis]} long", why=f"from {start} to {end} by {step}")
        return tuple(result)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        slices = self._slices(source)
        return [[len(range(*s.indices(d))) for s, d in zip(slices, source, strict=True)]]

    def float_forward(self, x: NDArray[Any], *_: Any) -> NDArray[Any]:  # type: ignore[override]
        return x[self._slices(x.shape)]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        return machine.kernels.move_step([(target.data, source.data[self._slices(source.shape)])])
