"""AveragePool, GlobalAveragePool, MaxPool on [1, W, C] and [1, H, W, C] (runtime spec 3.10)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from math import prod
from typing import Any

from tests.cases.oracle.node import Array, Node, Position, oracle
from tests.cases.oracle.rounding import fl32, power_of_two, round_float, saturate


class _Window:
    """Kernel, strides and pads of a node in ONNX order."""

    def __init__(self, node: Node, kernel: list[int]) -> None:
        rank = len(kernel)
        self.kernel = kernel
        self.strides = node.attributes.get("strides", [1] * rank)
        pads = node.attributes.get("pads", [0] * 2 * rank)
        self.before, self.behind = pads[:rank], pads[rank:]

    def output_shape(self, shape: Position) -> list[int]:
        spatial = zip(shape[1:-1], self.kernel, self.strides, self.before, self.behind, strict=True)
        return [1, *((n + b + e - k) // s + 1 for n, k, s, b, e in spatial), shape[-1]]

    def taps(self, x: Array, at: Position) -> Iterator[Any]:
        """The elements of x under the window of an output position; what lies in the pads is left out."""
        for offset in itertools.product(*map(range, self.kernel)):
            place = [o * s - b + k for o, s, b, k in zip(at[1:-1], self.strides, self.before, offset, strict=True)]
            if all(0 <= p < n for p, n in zip(place, x.shape[1:-1], strict=True)):
                yield x[(0, *place, at[-1])]


@oracle("MaxPool")
def max_pool(node: Node) -> Array:
    x = node.x()
    window = _Window(node, node.attributes["kernel_shape"])
    return Array.build(window.output_shape(x.shape), lambda at: max(window.taps(x, at)))


@oracle("AveragePool")
def average_pool(node: Node) -> Array:
    return _average(node, _Window(node, node.attributes["kernel_shape"]))


@oracle("GlobalAveragePool")
def global_average_pool(node: Node) -> Array:
    return _average(node, _Window(node, list(node.x().shape[1:-1])))


def _average(node: Node, window: _Window) -> Array:
    """The divisor is the size of the kernel, pads or not."""
    x, y, area = node.x(), node.y(), prod(window.kernel)
    assert isinstance(x.exponent, int)
    shape = window.output_shape(x.shape)
    if y.dtype == "float32":
        return Array.build(shape, lambda at: fl32(sum(window.taps(x, at)) / area))
    share = fl32(power_of_two(x.exponent) * (1.0 / area) * power_of_two(-y.exponent))

    def at(position: Position) -> int:
        total = fl32(float(sum(window.taps(x, position))))
        return saturate(round_float(fl32(total * share), node.rounding), y.dtype)

    return Array.build(shape, at)
