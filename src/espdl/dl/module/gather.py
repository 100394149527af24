"""Gather."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import axis_in, common_dtype, given, input_shape, integer_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def _indices_are_constant(node: NodeFacts) -> bool:
    return 1 in node.constants


def _indices_are_not_negative(node: NodeFacts) -> bool:
    return 1 not in node.constants or bool(np.all(np.asarray(node.constants[1]) >= 0))


class Gather(Module, op_type="Gather"):
    """The entries of input 0 along attribute ``axis`` (0) at the positions in input 1, a constant."""

    contract = Contract(
        INTEGER_AND_FLOAT,
        limits=(
            Limit("the indices are constants", _indices_are_constant, "look embeddings up before the network"),
            Limit("the indices are not negative", _indices_are_not_negative, "count the indices from the front"),
        ),
    )
    quantization = Quantization(float_inputs=frozenset({1}), passive=True)
    layout = LayoutRule(Layout.AXES, axis_attributes=("axis",))

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", 0)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source, indices = input_shape(input_shapes), input_shape(input_shapes, 1)
        axis = axis_in(self.axis, len(source))
        return [[*source[:axis], *indices, *source[axis + 1 :]]]

    def float_forward(self, x: NDArray[Any], indices: NDArray[Any]) -> NDArray[Any]:
        return np.take(x, np.where(indices < 0, indices + x.shape[self.axis], indices), axis=self.axis)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, positions, target = given(inputs, 0, "input"), given(inputs, 1, "indices"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        if positions.dtype not in (DType.INT64, DType.INT32) or 1 not in self.parameters:
            raise EspdlError("the indices must be constant integers")
        axis = axis_in(self.axis, source.data.ndim)
        indices = np.asarray(positions.data)
        length = source.shape[axis]
        if machine.strict_onnx:
            indices = np.where(indices < 0, indices + length, indices)
        if indices.size and (indices.min() < 0 or indices.max() >= length):
            raise EspdlError(
                f"an index outside an axis of {length}: {int(indices.min())} to {int(indices.max())}",
                hint="count from the front",
            )

        def step() -> None:
            np.take(source.data, indices, axis=axis, out=target.data, mode="clip")

        return step
