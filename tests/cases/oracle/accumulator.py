"""The accumulators of Conv, Gemm and MatMul: every product added on its own, in the order of the chip (runtime spec 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from tests.cases.oracle.node import Facts, Node
from tests.cases.oracle.rounding import clamp, saturate, shift_and_round, wrap


def accumulate(
    taps: Sequence[Sequence[int]], bias: int, channel: int, channels: int, *, on: Facts, itemsize: int, depthwise: bool = False
) -> int:
    """One sum.

    Args:
        taps: products of every position of the kernel that lies on the input, in the order height, width; inside, of every input
            channel.
        channel, channels: which of how many output channels.
        itemsize: bytes of an activation.
    """
    if not on.silicon:
        return sum(map(sum, taps)) + bias
    lanes = on.lanes(itemsize)
    if lanes == 1:
        return wrap(sum(map(sum, taps)) + bias, 32 if itemsize == 1 else 64)
    if depthwise or channel < channels - channels % lanes:
        return _vector(taps, bias, on.target, itemsize)
    total = clamp(bias, 40)
    for products in taps:
        for start in range(0, len(products), lanes):
            total = clamp(total + sum(products[start : start + lanes]), 40)
    return total


def _vector(taps: Sequence[Sequence[int]], bias: int, target: str, itemsize: int) -> int:
    """A lane of the vector accumulator, which saturates after each product; the S3 keeps the low 20 or 40 bits of the bias."""
    if target == "esp32s3":
        bits = 20 if itemsize == 1 else 40
        total = wrap(bias, bits)
    else:
        bits = 32 if itemsize == 1 else 64
        total = bias
    for products in taps:
        for product in products:
            total = clamp(total + product, bits)
    return total


def finish(node: Node, total: int, filter_exponent: int) -> int:
    """Shift, Relu, saturation."""
    x, y = node.x(0), node.y()
    assert isinstance(x.exponent, int)
    value = shift_and_round(total, y.exponent - filter_exponent - x.exponent, node.rounding)
    if node.attributes.get("activation") == "Relu":
        value = max(value, 0)
    return saturate(value, y.dtype)


def exponent_of(exponent: int | list[int], channel: int) -> int:
    """Of an output channel."""
    return exponent[channel] if isinstance(exponent, list) else exponent
