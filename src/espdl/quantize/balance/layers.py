"""Layers whose channels can be scaled: weights as [outputs, inputs, taps], whatever the operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.passes.tools import attribute, constant, input_of, shape_of

Vector = NDArray[np.float64]


class Layer:
    """A Conv or Gemm with constant parameters of its own, seen by channels.

    Args:
        node: of which :func:`is_layer` holds.
        channels: of its input; a Gemm behind a Flatten has several taps per channel.

    Attributes:
        weight: float64 [outputs, inputs, taps], [channels, 1, taps] where ``depthwise``.
        bias: float64 [outputs]; None without one.
    """

    def __init__(self, node: ir.Node, channels: int) -> None:
        self.node = node
        array = _wide(node, 1)
        assert array is not None
        self._transposed = node.op_type == "Gemm" and not attribute(node, "transB", 0)
        array = array.T if self._transposed else array
        self._shape = array.shape
        self.depthwise = node.op_type == "Conv" and attribute(node, "group", 1) != 1
        self.weight = array.reshape(array.shape[0], 1 if self.depthwise else channels, -1)
        bias = _wide(node, 2)
        self.bias = None if bias is None else bias.reshape(-1)

    @property
    def source(self) -> str:
        """Name of the tensor it reads."""
        return self.node.inputs[0].name or ""  # type: ignore[union-attr]  # a layer has an input

    @property
    def result(self) -> str:
        """Name of the tensor it writes."""
        return self.node.outputs[0].name or ""

    @property
    def taps(self) -> int:
        return int(self.weight.shape[2])

    def largest_by_output(self) -> Vector:
        """The largest magnitude of a weight, per output channel."""
        return np.abs(self.weight).max(axis=(1, 2))

    def largest_by_input(self, row_factors: Vector | None = None) -> Vector:
        """The same per input channel, each output channel multiplied by its factor first."""
        if self.depthwise:
            return self.largest_by_output() * (1.0 if row_factors is None else row_factors)
        magnitudes = np.abs(self.weight).max(axis=2)
        return (magnitudes if row_factors is None else magnitudes * row_factors[:, None]).max(axis=0)

    def gains(self, by_output: Vector | float) -> Vector:
        """Squared weights summed per input channel, each output counted ``by_output``: what a unit of noise in a channel does."""
        squares = np.einsum("oik,oik->oi", self.weight, self.weight)
        counted = squares * np.broadcast_to(by_output, (len(squares),))[:, None]
        return counted[:, 0] if self.depthwise else counted.sum(axis=0)

    def scale_outputs(self, factors: Vector) -> None:
        self.weight *= factors[:, None, None]
        if self.bias is not None:
            self.bias *= factors

    def scale_inputs(self, factors: Vector) -> None:
        self.weight *= factors[:, None, None] if self.depthwise else factors[None, :, None]

    def write_back(self) -> None:
        """Puts weight and bias into the network."""
        weight = self.weight.reshape(self._shape)
        _replace(self.node, 1, weight.T if self._transposed else weight)
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


def _wide(node: ir.Node, index: int) -> Vector | None:
    """A copy of a constant, C-contiguous as every constant is."""
    array = constant(input_of(node, index))
    return None if array is None else array.astype(np.float64)


def _replace(node: ir.Node, index: int, array: NDArray[Any]) -> None:
    value = node.inputs[index]
    assert value is not None
    shape = shape_of(value) or array.shape
    narrow = np.ascontiguousarray(array.reshape(shape), dtype=np.float32)
    value.const_value = ir.tensor(narrow, name=value.name)
