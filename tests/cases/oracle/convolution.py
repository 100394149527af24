"""Conv, InsertZeros, and the transposed convolution that files make of the two (runtime spec 3.3, 3.13)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.cases.oracle.accumulator import accumulate, exponent_of, finish
from tests.cases.oracle.node import Array, Node, Position, oracle
from tests.cases.oracle.rounding import fl32

ITEMSIZE = {"int8": 1, "int16": 2}


def _taps(x: Array, at: Position, kernel: Position, strides: list[int], dilations: list[int], before: list[int]) -> Iterator:
    """Positions of the kernel that lie on the input for one output position, each with the input position."""
    for offset in itertools.product(*map(range, kernel)):
        place = tuple(o * s - b + k * d for o, s, b, k, d in zip(at, strides, before, offset, dilations, strict=True))
        if all(0 <= p < n for p, n in zip(place, x.shape[1:-1], strict=True)):
            yield offset, place


@oracle("Conv")
def convolve(node: Node) -> Array:
    x, w = node.x(0), node.x(1)
    is_float = x.dtype == "float32"
    kernel, rank = w.shape[2:] if is_float else w.shape[:-2], len(w.shape) - 2
    strides, dilations = (node.attributes.get(name) or [1] * rank for name in ("strides", "dilations"))
    pads = node.attributes.get("pads") or [0] * 2 * rank
    depthwise = node.attributes.get("group", 1) != 1
    channels = w.shape[0] if is_float else w.shape[-2] if depthwise else w.shape[-1]
    spatial = zip(x.shape[1:-1], kernel, strides, dilations, pads[:rank], pads[rank:], strict=True)
    shape = [1, *((n + b + e - (d * (k - 1) + 1)) // s + 1 for n, k, s, d, b, e in spatial), channels]
    values = []
    for at in itertools.product(*map(range, shape[1:-1])):
        taps = list(_taps(x, at, kernel, strides, dilations, pads[:rank]))
        for channel in range(channels):
            if is_float:
                values.append(_float_sum(node, taps, channel))
                continue
            sources = [channel] if depthwise else range(x.shape[-1])
            products = [
                [x[(0, *place, c)] * (w[(*offset, c, 0)] if depthwise else w[(*offset, c, channel)]) for c in sources]
                for offset, place in taps
            ]
            bias = node.x(2).values[channel] if node.has(2) else 0
            total = accumulate(products, bias, channel, channels, on=node.facts, itemsize=ITEMSIZE[x.dtype], depthwise=depthwise)
            values.append(finish(node, total, exponent_of(w.exponent, channel)))
    return Array(tuple(shape), values)


def _float_sum(node: Node, taps: list, channel: int) -> float:
    """One element in binary32, with the filter in ONNX order [N, C / group, K...]."""
    x, w = node.x(0), node.x(1)
    depth = w.shape[1]
    first = channel // (w.shape[0] // node.attributes.get("group", 1)) * depth
    total = sum(x[(0, *place, first + c)] * w[(channel, c, *offset)] for offset, place in taps for c in range(depth))
    total += node.x(2).values[channel] if node.has(2) else 0.0
    return fl32(max(total, 0.0) if node.attributes.get("activation") == "Relu" else total)


@oracle("InsertZeros")
def insert_zeros(node: Node) -> Array:
    x, strides = node.x(), node.attributes["stride"]
    padding = node.attributes.get("output_padding", [0] * len(strides))
    spatial = [n + (s - 1) * (n - 1) + p for n, s, p in zip(x.shape[1:-1], strides, padding, strict=True)]

    def element(at: Position) -> int:
        on_grid = all(place % s == 0 and place // s < n for place, s, n in zip(at[1:-1], strides, x.shape[1:-1], strict=True))
        return x[(at[0], *(place // s for place, s in zip(at[1:-1], strides, strict=True)), at[-1])] if on_grid else 0

    return Array.build([x.shape[0], *spatial, x.shape[-1]], element)


@oracle("ConvTranspose")
def transposed(node: Node) -> Array:
    """By the definition of ONNX: every input pixel adds its kernel to the output. The filter is [K..., C, N], not flipped."""
    x, w = node.x(0), node.x(1)
    kernel, rank = w.shape[:-2], len(w.shape) - 2
    strides, pads = node.attributes["strides"], node.attributes.get("pads", [0] * 2 * rank)
    more = node.attributes.get("output_padding", [0] * rank)
    depthwise = node.attributes.get("group", 1) != 1
    channels = w.shape[-2] if depthwise else w.shape[-1]
    extents = zip(x.shape[1:-1], strides, kernel, more, pads[:rank], pads[rank:], strict=True)
    spatial = [s * (n - 1) + k + m - b - e for n, s, k, m, b, e in extents]
    sums = {
        (*at, c): node.x(2).values[c] if node.has(2) else 0
        for at in itertools.product(*map(range, spatial))
        for c in range(channels)
    }
    for place in itertools.product(*map(range, x.shape[1:-1])):
        for offset in itertools.product(*map(range, kernel)):
            at = tuple(p * s + k - b for p, s, k, b in zip(place, strides, offset, pads[:rank], strict=True))
            if (*at, 0) not in sums:
                continue
            for channel in range(channels):
                for c in [channel] if depthwise else range(x.shape[-1]):
                    sums[(*at, channel)] += x[(0, *place, c)] * w[(*offset, c, 0 if depthwise else channel)]
    return Array.build([1, *spatial, channels], lambda at: finish(node, sums[at[1:]], exponent_of(w.exponent, at[-1])))
