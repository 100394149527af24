"""Layers whose channels can be scaled: weights as [outputs, inputs, taps], whatever the operator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.passes.tools import attribute, constant, input_of, name_of, shape_of

Vector = NDArray[np.float64]


BLOCK = 1 << 17
"""Weights that are looked at at once, about, where that many of them take a copy."""


class Layer:
    """A Conv or Gemm with constant parameters of its own, seen by channels.

    Args:
        node: of which :func:`is_layer` holds.
        channels: of its input; a Gemm behind a Flatten has several taps per channel.

    Attributes:
        depthwise: whether each output has the one input of its channel.
        shape: of the weight, [outputs, inputs, taps]; [channels, 1, taps] where ``depthwise``.
        bias: float64 [outputs]; None without one.

    The weight stays as it is, and what it is multiplied by is kept beside it: two factors per channel are far less than its copy.
    """

    def __init__(self, node: ir.Node, channels: int) -> None:
        self.node = node
        shape = shape_of(node.inputs[1]) or ()
        self._transposed = node.op_type == "Gemm" and not attribute(node, "transB", 0)
        outputs = shape[1] if self._transposed else shape[0]
        self.depthwise = node.op_type == "Conv" and attribute(node, "group", 1) != 1
        inputs = 1 if self.depthwise else channels
        self.shape = (outputs, inputs, math.prod(shape) // (outputs * inputs))
        bias = constant(input_of(node, 2))
        self.bias = None if bias is None else bias.astype(np.float64).reshape(-1)
        self._output_factors = np.ones(outputs)
        self._input_factors = np.ones(outputs if self.depthwise else channels)

    @property
    def source(self) -> str:
        """Name of the tensor it reads."""
        return name_of(self.node.inputs[0])

    @property
    def result(self) -> str:
        """Name of the tensor it writes."""
        return self.node.outputs[0].name or ""

    @property
    def taps(self) -> int:
        return self.shape[2]

    @property
    def outputs(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[Vector]:
        """The weight with its factors, some outputs at a time: float64 [some outputs, inputs, taps]."""
        array, count = self._array, max(BLOCK // (self.shape[1] * self.taps), 1)
        for start in range(0, self.outputs, count):
            rows = slice(start, start + count)
            block = array[rows] * self._output_factors[rows, None, None]
            block *= self._input_factors[rows, None, None] if self.depthwise else self._input_factors[:, None]
            yield block

    def largest_by_output(self) -> Vector:
        """The largest magnitude of a weight, per output channel."""
        if self.depthwise:
            return self._magnitudes[:, 0] * self._input_factors * self._output_factors
        return self._largest(self._input_factors, 1) * self._output_factors

    def largest_by_input(self, row_factors: Vector | None = None) -> Vector:
        """The same per input channel, each output channel multiplied by its factor first."""
        factors = self._output_factors if row_factors is None else self._output_factors * row_factors
        if self.depthwise:
            return self._magnitudes[:, 0] * self._input_factors * factors
        return self._largest(factors[:, None], 0) * self._input_factors

    def _largest(self, factors: Vector, axis: int) -> Vector:
        """The largest of the network's magnitudes along an axis, after factors that go along it; of 24 bits, as those are."""
        top = float(factors.max())
        scaled = self._magnitudes
        scaled *= (factors / top).astype(scaled.dtype)
        return scaled.max(axis=axis) * top

    def gains(self, by_output: Vector | float) -> Vector:
        """Squared weights summed per input channel, each output counted ``by_output``: what a unit of noise in a channel does."""
        array = self._array
        squares = np.einsum("oik,oik->oi", array, array, dtype=np.float64, casting="same_kind")
        squares *= (self._output_factors**2 * by_output)[:, None]
        return (squares[:, 0] if self.depthwise else squares.sum(axis=0)) * self._input_factors**2

    @property
    def _array(self) -> NDArray[np.floating]:
        """The weight of the network."""
        array = constant(self.node.inputs[1])
        assert array is not None
        return self.by_channel(array)

    def by_channel(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array in the weight's own form as [outputs, inputs, taps]."""
        return (array.T if self._transposed else array).reshape(self.shape)

    @property
    def _magnitudes(self) -> NDArray[np.floating]:
        """The largest magnitude of the network's weights for each output and input."""
        array = self._array
        return np.abs(array[:, :, 0]) if self.taps == 1 else np.maximum(array.max(axis=2), -array.min(axis=2))

    def scale_outputs(self, factors: Vector) -> None:
        self._output_factors = self._output_factors * factors
        if self.bias is not None:
            self.bias *= factors

    def scale_inputs(self, factors: Vector) -> None:
        self._input_factors = self._input_factors * factors

    def write_back(self) -> None:
        """Puts weight and bias into the network."""
        narrow = np.concatenate([block.astype(np.float32) for block in self.blocks()]).reshape(self.outputs, -1)
        self._output_factors, self._input_factors = np.ones_like(self._output_factors), np.ones_like(self._input_factors)
        _replace(self.node, 1, narrow.T if self._transposed else narrow)
        if self.bias is not None:
            _replace(self.node, 2, self.bias)


def is_layer(node: ir.Node) -> bool:
    """Whether a node is a Conv (plain or depthwise) or Gemm whose constant parameters nobody else reads."""
    if node.domain or node.op_type not in ("Conv", "Gemm"):
        return False
    for index in (1, 2):
        value = input_of(node, index)
        if value is None and index == 2:
            continue
        if constant(value) is None or len(list(value.uses())) != 1:  # type: ignore[union-attr]  # a constant is a value
            return False
    shape = shape_of(node.inputs[1]) or ()
    bias = shape_of(input_of(node, 2))
    if node.op_type == "Gemm":
        outputs = shape[0 if attribute(node, "transB", 0) else 1]
        plain = not attribute(node, "transA", 0) and attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
        return plain and (bias is None or int(np.prod(bias)) == outputs)
    return attribute(node, "group", 1) == 1 or (attribute(node, "group", 1) == shape[0] and shape[1] == 1)


def _replace(node: ir.Node, index: int, array: NDArray[Any]) -> None:
    value = node.inputs[index]
    assert value is not None
    shape = shape_of(value) or array.shape
    narrow = np.ascontiguousarray(array.reshape(shape), dtype=np.float32)
    value.const_value = ir.tensor(narrow, name=value.name)
