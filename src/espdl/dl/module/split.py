"""Split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import axis_in, common_dtype, constant_integers, given, input_shape, integer_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Quantization, constants
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class Split(Module, op_type="Split"):
    """Parts of input 0 along attribute ``axis`` (0), of the lengths in input 1.

    Without input 1 the chip takes attribute ``num_outputs`` for the length of a part (runtime spec 3.13), ONNX for the number of parts,
    the last of which may be shorter.
    """

    contract = Contract(INTEGER_AND_FLOAT, limits=(constants("the lengths are constants", 1),))
    quantization = Quantization(float_inputs=frozenset({1}), passive=True)
    layout = LayoutRule(Layout.AXES, axis_attributes=("axis",))

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", 0)
        self.sizes = constant_integers(self, 1, "split")
        self.num_outputs = integer_attribute(self, "num_outputs", -1)
        if self.sizes is not None and any(size < 0 for size in self.sizes):
            raise EspdlError(f"negative lengths of parts: {self.sizes}")

    def _lengths(self, length: int) -> list[int]:
        if self.sizes is None:
            return self._equal_parts(length)
        if sum(self.sizes) != length:
            raise EspdlError(f"parts of {self.sizes} do not make up an axis of {length}")
        return self.sizes

    def _equal_parts(self, length: int) -> list[int]:
        number, lengths = self.num_outputs, list[int]()
        if number >= 1 and self.strict_onnx:
            part = -(-length // number)
            lengths = [*[part] * (number - 1), length - part * (number - 1)]
        elif number >= 1 and length % number == 0:
            lengths = [number] * (length // number)
        named = len(self.m_outputs_index) or len(lengths)  # none are registered for an operator outside a model
        if not lengths or lengths[-1] < 0 or len(lengths) != named:
            meaning = (
                "ONNX takes num_outputs for the number of parts" if self.strict_onnx else "the chip takes it for their length"
            )
            raise EspdlError(
                f"the lengths of the parts of an axis of {length} are not given",
                why=f"num_outputs is {number}, and {meaning}" if number >= 1 else "there is no num_outputs either",
                hint="give the lengths as input 1",
            )
        return lengths

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        axis = axis_in(self.axis, len(source))
        return [[*source[:axis], size, *source[axis + 1 :]] for size in self._lengths(source[axis])]

    def float_forward(self, x: NDArray[Any], *_: Any) -> tuple[NDArray[Any], ...]:
        bounds = np.cumsum(self._lengths(x.shape[self.axis]))[:-1]
        return tuple(np.split(x, bounds, axis=self.axis))

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source = given(inputs, 0, "input")
        common_dtype(self, (source, *outputs), tuple(DType))
        axis = axis_in(self.axis, source.data.ndim)
        lengths = self._lengths(source.shape[axis])
        if len(lengths) != len(outputs):
            raise EspdlError(f"{len(lengths)} parts for {len(outputs)} outputs")
        stops = np.cumsum(lengths).tolist()
        places = [(slice(None),) * axis + (slice(stop - size, stop),) for stop, size in zip(stops, lengths, strict=True)]
        return machine.kernels.move_step([(y.data, source.data[place]) for y, place in zip(outputs, places, strict=True)])
