"""ReverseSequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import (
    common_dtype,
    constant_integers,
    given,
    input_shape,
    integer_attribute,
)
from espdl.dl.module.contract import INTEGER, Contract, Limit, NodeFacts, Quantization, constants
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def _leading_axes(node: NodeFacts) -> bool:
    return {node.attributes.get("batch_axis", 1), node.attributes.get("time_axis", 0)} == {0, 1}


class ReverseSequence(Module, op_type="ReverseSequence"):
    """Input 0 with the first ``sequence_lens[b]`` entries along ``time_axis`` (0) reversed for each b of ``batch_axis`` (1).

    The two axes are 0 and 1, in either order; input 1, ``sequence_lens``, is a constant. Networks are not quantized to its float32 form:
    the chip swaps two entries through an integer, so the one that goes to the back loses its fraction (runtime spec 3.13).
    """

    contract = Contract(
        INTEGER,
        limits=(
            Limit("batch_axis and time_axis are 0 and 1", _leading_axes, "transpose first"),
            constants("the lengths are constants", 1),
        ),
    )
    quantization = Quantization(float_inputs=frozenset({1}), passive=True)
    binds_float = True

    def configure(self) -> None:
        self.batch_axis = integer_attribute(self, "batch_axis", 1)
        self.time_axis = integer_attribute(self, "time_axis", 0)
        lengths = constant_integers(self, 1, "sequence_lens")
        if {self.batch_axis, self.time_axis} != {0, 1}:
            raise EspdlError(
                f"batch_axis {self.batch_axis} and time_axis {self.time_axis}", why="they must be 0 and 1", hint="transpose first"
            )
        if lengths is None:
            raise EspdlError("sequence_lens must be a constant")
        self.lengths = lengths

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if len(source) < 2 or len(self.lengths) != source[self.batch_axis]:
            raise EspdlError(f"{len(self.lengths)} lengths for a tensor of shape {source}")
        if any(not 0 <= length <= source[self.time_axis] for length in self.lengths):
            raise EspdlError(f"lengths {self.lengths} on an axis of {source[self.time_axis]}")
        return [source]

    def _times(self, steps: int) -> NDArray[np.intp]:
        """Where each entry comes from, [batch, time]."""
        times = np.tile(np.arange(steps), (len(self.lengths), 1))
        for row, length in zip(times, self.lengths, strict=True):
            row[:length] = row[:length][::-1].copy()
        return times

    def float_forward(self, x: NDArray[Any], *_: Any) -> NDArray[Any]:
        times = self._times(x.shape[self.time_axis])
        batches = np.arange(len(self.lengths))[:, None]
        return x[batches, times] if self.batch_axis == 0 else x[times.T, batches.T]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        dtype = common_dtype(self, (source, target))
        self.get_output_shape([list(source.shape)])
        through_integers = dtype is DType.FLOAT and not machine.strict_onnx
        to_the_back = self._times(source.shape[self.time_axis]) < np.arange(source.shape[self.time_axis])
        truncated = to_the_back if self.batch_axis == 0 else to_the_back.T

        def step() -> None:
            np.copyto(target.data, self.float_forward(source.data))
            if through_integers:
                target.data[truncated] = _through_int32(target.data[truncated])

        return step


def _through_int32(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut towards zero to an integer, which saturates; NaN becomes the largest, as chips convert it."""
    limits = np.iinfo(np.int32)
    whole = np.trunc(np.where(np.isnan(values), np.inf, values).astype(np.float64))
    return np.asarray(np.clip(whole, limits.min, limits.max), dtype=np.float32)
