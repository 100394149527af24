"""Operators that give the same values another shape: Reshape, Flatten, Squeeze, Unsqueeze."""

from __future__ import annotations

from math import prod
from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.assign import Assignment
from espdl.dl.module.checks import axes_in, constant_integers, input_shape, integer_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Quantization, constants
from espdl.dtypes import Inplace
from espdl.errors import EspdlError
from espdl.tensor_ops import resolve_shape


class View(Assignment):
    """The values of input 0, in the same order, in the shape that :meth:`get_output_shape` says."""

    default_inplace = Inplace.UNCHANGED_BUFFER
    contract = Contract(INTEGER_AND_FLOAT, limits=(constants("the second input is a constant", 1),))
    quantization = Quantization(float_inputs=frozenset({1}), passive=True)

    def float_forward(self, x: NDArray[Any], *_: Any) -> NDArray[Any]:
        return x.reshape(self.get_output_shape([list(x.shape)])[0])


class Reshape(View, op_type="Reshape"):
    """Input 1: the shape; one entry -1 is inferred, 0 copies the dimension unless attribute ``allowzero`` (0) is 1."""

    def configure(self) -> None:
        self.shape = constant_integers(self, 1, "shape")
        self.allow_zero = bool(integer_attribute(self, "allowzero", 0))
        if self.shape is None:
            raise EspdlError("the shape is not a constant", hint="fix the input shapes and fold constants before exporting")
        if self.shape.count(-1) > 1 or any(d < -1 for d in self.shape):
            raise EspdlError(f"no shape: {self.shape}")

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        assert self.shape is not None
        result = list(self.shape)
        for i, dim in enumerate(result):
            if dim == 0 and not self.allow_zero:
                if i >= len(source):
                    raise EspdlError(f"entry {i} of the shape {self.shape} copies a dimension that {source} does not have")
                result[i] = source[i]
        try:
            return [resolve_shape(result, prod(source))]
        except EspdlError:
            raise EspdlError(f"a tensor of shape {source} cannot take the shape {self.shape}") from None


class Flatten(View, op_type="Flatten"):
    """To rank 2: the product of the dimensions before attribute ``axis`` (1), and the product of the others."""

    contract = Contract(INTEGER_AND_FLOAT)
    quantization = Quantization(passive=True)

    def configure(self) -> None:
        self.axis = integer_attribute(self, "axis", 1)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if not -len(source) <= self.axis <= len(source):
            raise EspdlError(f"axis {self.axis} of a tensor of rank {len(source)}")
        axis = self.axis if self.axis >= 0 else self.axis + len(source)
        return [[prod(source[:axis]), prod(source[axis:])]]


class Squeeze(View, op_type="Squeeze"):
    """Without the axes in input 1, which have one element; without input 1, without every such axis."""

    def configure(self) -> None:
        self.axes = constant_integers(self, 1, "axes")

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if self.axes is None:
            return [[d for d in source if d != 1]]
        axes = axes_in(self.axes, len(source))
        if any(source[axis] != 1 for axis in axes):
            raise EspdlError(f"axes {axes} of shape {source} do not all have one element")
        return [[d for i, d in enumerate(source) if i not in axes]]


class Unsqueeze(View, op_type="Unsqueeze"):
    """With a new axis of one element at each place in input 1, counted in the output."""

    def configure(self) -> None:
        self.axes = constant_integers(self, 1, "axes")
        if self.axes is None:
            raise EspdlError("input 1 (axes) is missing or not a constant")

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        result = input_shape(input_shapes)
        assert self.axes is not None
        for axis in sorted(axes_in(self.axes, len(result) + len(self.axes))):
            result.insert(axis, 1)
        return [result]
