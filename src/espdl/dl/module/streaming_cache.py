"""StreamingCache: the frames before the new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import axis_in, common_dtype, given, input_shape, integer_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class StreamingCache(Module, op_type="StreamingCache"):
    """Puts the last ``window_size - 1`` frames of the runs before in front of the new frames, along ``frame_axis`` (spec 3.13).

    The frames are zero at first and after :meth:`reset`. Axes before ``frame_axis`` have one element.
    """

    contract = Contract(INTEGER_AND_FLOAT)
    quantization = Quantization(passive=True)
    layout = LayoutRule(Layout.AXES, axis_attributes=("frame_axis",), leading_attribute="frame_axis")

    def configure(self) -> None:
        self.window_size = integer_attribute(self, "window_size", 1)
        self.frame_axis = integer_attribute(self, "frame_axis", 1)
        self.cache: NDArray[Any] | None = None
        if self.window_size < 1:
            raise EspdlError(f"window_size {self.window_size}", why="it must be at least 1")

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        result = input_shape(input_shapes)
        axis = axis_in(self.frame_axis, len(result))
        if any(dim != 1 for dim in result[:axis]):
            raise EspdlError(f"frames along axis {axis} of shape {result}", why="the axes before it must have one element")
        result[axis] += self.window_size - 1
        return [result]

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        """The first run after a reset."""
        result = np.zeros(self.get_output_shape([list(x.shape)])[0], dtype=x.dtype)
        result[(slice(None),) * (self.frame_axis % x.ndim) + (slice(self.window_size - 1, None),)] = x
        return result

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        axis = axis_in(self.frame_axis, source.data.ndim)
        kept = self.window_size - 1
        shape = list(source.shape)
        shape[axis] = kept
        if self.cache is None or self.cache.shape != tuple(shape) or self.cache.dtype != source.data.dtype:
            self.cache = np.zeros(shape, dtype=source.data.dtype)
        cache = self.cache
        before = (slice(None),) * axis
        old, new, last = ((*before, s) for s in (slice(0, kept), slice(kept, None), slice(source.shape[axis], None)))
        moves = [(target.data[old], cache), (target.data[new], source.data), (cache, target.data[last])]
        return machine.kernels.move_step(moves, in_order=True)

    def reset(self) -> None:
        if self.cache is not None:
            self.cache.fill(0)
