"""Operators that a file holds as several nodes."""

from __future__ import annotations

import itertools
from dataclasses import replace

from tests.cases.build import Network
from tests.cases.oracle.node import Array


def flipped(array: Array) -> Array:
    """A filter [K..., C, N] with its spatial axes reversed."""
    kernel = array.shape[:-2]

    def element(at: tuple[int, ...]) -> int:
        return array[(*(k - 1 - place for k, place in zip(kernel, at, strict=False)), *at[-2:])]

    return replace(array, values=[element(at) for at in itertools.product(*map(range, array.shape))])


def conv_transpose(network: Network, inputs: list[str], outputs: list[str]) -> None:
    """InsertZeros where a stride is above 1, then Conv with the filter flipped and pads ``k - 1 - p``."""
    case = network.case
    tensor, weights = case.inputs[1], case.arrays()[1]
    assert tensor is not None
    assert weights is not None
    data, tag = network.stored(tensor, flipped(weights))
    network.initializers = [t for t in network.initializers if t.name != inputs[1]]
    network.constant(inputs[1], data, weights.dtype, weights.exponent, tag)
    kernel = weights.shape[:-2]
    pads = case.attributes.get("pads", [0] * 2 * len(kernel))
    strides = case.attributes["strides"]
    source = inputs[0]
    if max(strides) > 1:
        x = case.inputs[0]
        assert x is not None
        assert isinstance(x.exponent, int)
        network.value("z", x.dtype, x.exponent)
        padding = case.attributes.get("output_padding", [0] * len(kernel))
        network.node("InsertZeros", [source], ["z"], network.attributes({"stride": strides, "output_padding": padding}))
        source = "z"
    attributes = {
        "pads": [k - 1 - p for k, p in zip([*kernel, *kernel], pads, strict=True)],
        "strides": [1] * len(kernel),
        "dilations": [1] * len(kernel),
        "kernel_shape": list(kernel),
        **{name: case.attributes[name] for name in ("group", "activation") if name in case.attributes},
    }
    network.node("Conv", [source, *inputs[1:]], outputs, network.attributes(attributes))


BUILDERS = {"ConvTranspose": conv_transpose}
