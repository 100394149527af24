"""Exponents that are made equal, where a tensor is rearranged between the operator that writes it and the one that needs it aligned."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.quantize.api import quantize
from tests.quantize.graphs import network, op, weights

SMALL = {"c": weights(1, 3, 4) * 3, "parts": [4, 4], "start": [4], "end": [8], "last": [2], "same": [1, 3, 8], "both": [0, 1]}

CASES = {
    "one part of a float tensor": ([op("Split", "s parts", "a b", axis=2), op("Concat", "a c", "y", axis=2)], "y b"),
    "both parts": ([op("Split", "s parts", "a b", axis=2), op("Concat", "a b c", "y", axis=2)], "y"),
    "a slice": ([op("Slice", "s start end last", "t"), op("Concat", "t c", "y", axis=2)], "y"),
    "a slice, and the tensor itself": ([op("Slice", "s start end last", "t"), op("Concat", "t c s", "y", axis=2)], "y"),
    "a slice of an output": ([op("Slice", "s start end last", "t"), op("Concat", "t c", "y", axis=2)], "y s"),
    "a slice of a slice": (
        [op("Slice", "s start end last", "t"), op("Gather", "t both", "u", axis=1), op("Add", "u d", "y")],
        "y",
    ),
}


@pytest.mark.parametrize("first", ["Softmax", "Sigmoid"])
@pytest.mark.parametrize("case", CASES)
def test_rearranged_before_it_is_aligned(first, case):
    nodes, outputs = CASES[case]
    read = {name for node in nodes for name in node.input}
    constants = {name: array for name, array in {**SMALL, "d": weights(2, 4) * 3}.items() if name in read}
    source = network([op(first, "x", "s"), *nodes], {"x": (1, 3, 8)}, constants, outputs=outputs)
    data = np.random.default_rng(3).standard_normal((8, 1, 3, 8)).astype(np.float32)
    quantized = quantize(source, list(data), target="c")
    passed_on = {"Split", "Slice", "Gather", "MaxPool"}
    infos = {info.name: info for info in quantized.record.graph.value_info}
    for node in quantized.record.graph.node:
        if node.op_type in passed_on:
            assert {infos[name].exponents for name in node.output} == {infos[node.input[0]].exponents}, node.name
    assert min(quantized.snr(quantized.samples).values()) > 25


@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_an_activation_between_two_rearrangements(activation):
    """Its output decides how its input is represented; the part that it is applied to keeps the exponent of the whole all the same."""
    nodes = [
        op("Tanh", "x", "t"),
        op("Add", "t t", "a"),
        op("Gather", "a both", "g", axis=1),
        op(activation, "g" if activation == "Relu" else "g low high", "r"),
        op("Slice", "r start end last", "s"),
        op("Concat", "s c", "y", axis=2),
    ]
    constants = {name: SMALL[name] for name in ("both", "start", "end", "last")} | {"c": weights(1, 2, 4) * 9}
    if activation == "Clip":
        constants |= {"low": 0.0, "high": 1.0}
    source = network(nodes, {"x": (1, 3, 8)}, constants)
    data = np.random.default_rng(3).standard_normal((8, 1, 3, 8)).astype(np.float32)
    quantized = quantize(source, list(data), target="c")
    infos = {info.name: info for info in quantized.record.graph.value_info}
    for node in quantized.record.graph.node:
        if node.op_type in ("Gather", "Slice"):
            assert infos[node.output[0]].exponents == infos[node.input[0]].exponents, node.name
    assert min(quantized.snr(quantized.samples).values()) > 25
