"""What balancing knows of activations: per channel the largest magnitude and the mean square, and what noise in a channel costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.balance.layers import Layer, Vector, is_layer
from espdl.quantize.float_run import FloatRun
from espdl.quantize.passes.tools import constant, shape_of

POSITIONS = 256
"""Elements of each channel that a sample contributes at most to means of squares."""


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


def measure(model: ir.Model, names: Sequence[str], samples: Iterable[Mapping[str, NDArray]]) -> dict[str, Moments]:
    """Moments of the tensors named, over the float network's run on ``samples``; empty without samples, and where they are not finite."""
    session = FloatRun(model, names)
    found: dict[str, Moments] = {}
    count = 0
    for sample in samples:
        count += 1
        for name, array in session.run(sample).items():
            rows = _by_channel(array)
            low, high = (limit.astype(np.float64) for limit in (rows.min(axis=1), rows.max(axis=1)))
            if not np.isfinite(high - low).all():
                return {}
            some = _thinned(rows)
            known = found.setdefault(name, Moments(low, high, np.zeros_like(low), np.zeros_like(low)))
            known.low, known.high = np.minimum(known.low, low), np.maximum(known.high, high)
            known.mean += some.mean(axis=1)
            known.square += np.einsum("ij,ij->i", some, some) / some.shape[1]
            known.seen += rows.shape[1]
    for moments in found.values():
        moments.mean /= count
        moments.square /= count
    return found


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


def _by_channel(array: NDArray) -> NDArray:
    """[size of axis 1, rest]."""
    if array.ndim < 2:
        return array.reshape(1, -1)
    if array.shape[0] == 1:
        return array.reshape(array.shape[1], -1)
    return np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)


def _thinned(rows: NDArray) -> NDArray:
    """At most about ``POSITIONS`` elements of each row, at an odd distance: rows of a picture are met at changing places."""
    step = rows.shape[1] // POSITIONS
    return rows[:, :: step | 1] if step > 1 else rows
