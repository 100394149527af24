"""What balancing knows of activations: per channel the largest magnitude and the mean square, and what noise in a channel costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from espdl.quantize.balance.layers import Layer, Vector, is_layer
from espdl.quantize.passes.tools import constant, shape_of


@dataclass
class Moments:
    """Of one tensor, per channel; float64 [size of axis 1].

    Attributes:
        low, high: smallest and largest value.
        mean: mean of some values.
        square: mean of their squares.
        seen: number of elements of each channel that were looked at.
    """

    low: Vector
    high: Vector
    mean: Vector
    square: Vector
    seen: int = 0

    @property
    def largest(self) -> Vector:
        """The largest magnitude."""
        return np.maximum(self.high, -self.low)

    def scaled(self, factors: Vector) -> Moments:
        """The moments of the tensor with its channels scaled."""
        spread = np.repeat(factors, len(self.low) // len(factors))
        return Moments(self.low * spread, self.high * spread, self.mean * spread, self.square * spread**2, self.seen)


def per_channel(values: Vector, channels: int, largest: bool) -> Vector:
    """Numbers of a flattened tensor by channel: their largest, or their mean."""
    rows = values.reshape(channels, -1)
    return rows.max(axis=1) if largest else rows.mean(axis=1)


def sensitivities(model: ir.Model) -> dict[str, Vector | float]:
    """By how much a unit of noise power in each channel of each tensor raises that of the network's outputs, about.

    One walk from the outputs up: a layer hands noise on by the squares of its weights, an average over n elements divides it by n, every
    other operator passes it on. Noise of different elements counts as independent.
    """
    found: dict[str, Vector | float] = {value.name or "": 1.0 for value in model.graph.outputs}
    for node in reversed(list(model.graph)):
        behind = found.get(node.outputs[0].name or "", 1.0)
        for value in node.inputs:
            if value is None or constant(value) is not None:
                continue
            noise = _before_layer(node, behind, value) if is_layer(node) else _before(node, behind, value)
            found[value.name or ""] = found.get(value.name or "", 0.0) + noise
    return found


def _before_layer(node: ir.Node, behind: Vector | float, value: ir.Value) -> Vector:
    return Layer(node, (shape_of(value) or (1, 1))[1]).gains(behind)


def _before(node: ir.Node, behind: Vector | float, value: ir.Value) -> Vector | float:
    shape = shape_of(value) or ()
    size = shape[1] if len(shape) > 1 else 1
    if isinstance(behind, float) or len(behind) == size:
        noise = behind
    elif len(behind) % size == 0:
        noise = behind.reshape(size, -1).sum(axis=1)
    else:
        noise = float(behind.mean())
    return noise / float(np.prod(shape[2:])) if node.op_type == "GlobalAveragePool" else noise
