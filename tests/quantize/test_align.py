"""Exponents that are made equal, where a tensor is rearranged between the operator that writes it and the one that needs it aligned."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.quantize.api import quantize
from espdl.quantize.setting import QuantizationSettingFactory
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


def aligned(choice, nodes, inputs, scales, **constants):
    """Exponents by tensor."""
    setting = QuantizationSettingFactory.espdl_setting()
    setting.quantize_activation_setting.calib_algorithm = "minmax"
    setattr(setting.fusion_setting, choice_of(nodes), choice)
    source = network(nodes, inputs, constants)
    rng = np.random.default_rng(5)
    data = [
        {name: rng.uniform(-scale, scale, inputs[name]).astype(np.float32) for name, scale in scales.items()} for _ in range(4)
    ]
    result = quantize(source, data, target="c", setting=setting, test_values=True)
    assert result.model(arithmetic="reference").test()
    return {info.name: info.exponents[0] for info in result.record.graph.value_info}


def choice_of(nodes):
    kinds = {"Add": "elementwise", "Concat": "concat", "AveragePool": "avgpooling", "Resize": "resize"}
    return next(f"align_{kinds[node.op_type]}_to" for node in nodes if node.op_type in kinds)


PAIR = {"a": (1, 4), "b": (1, 4)}


@pytest.mark.parametrize("kind", ["Add", "Concat"])
def test_align_to_large_is_the_largest_that_is_needed(kind):
    """ESP-PPQ would double it, and give the output of Add another one."""
    attributes = {"axis": 1} if kind == "Concat" else {}
    found = aligned("Align to Large", [op(kind, "a b", "y", **attributes)], PAIR, {"a": 3.0, "b": 0.4})
    assert found["a"] == found["b"] == found["y"] == -5


def test_align_to_large_sees_what_cancels():
    """The sum is small, its terms are not: aligned to the output they would be cut off."""
    nodes = [op("Neg", "a", "n"), op("Add", "a n", "s"), op("Add", "s b", "y")]
    scales = {"a": 100.0, "b": 0.1}
    to_output = aligned("Align to Output", nodes, PAIR, scales)
    to_large = aligned("Align to Large", nodes, PAIR, scales)
    assert to_output["s"] < to_large["s"] == 0
    assert to_large["n"] == to_large["y"] == 0, "sums in a row are one group"
    assert to_output["y"] < 0


IMAGES = {"a": (1, 2, 4, 4)}
POOL = [op("Relu", "a", "r"), op("AveragePool", "r", "y", kernel_shape=[4, 4])]
RESIZE = [
    op("Sigmoid", "a", "r"),
    op("Resize", "r _ k", "y", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
]


@pytest.mark.parametrize(
    ("nodes", "choice", "is_equal"),
    [
        (POOL, "None", False),
        (POOL, "Align to Input", True),
        (POOL, "Align to Output", True),
        (RESIZE, "None", True),
        (RESIZE, "Align to Input", True),
        (RESIZE, "Align to Output", True),
    ],
)
def test_pools_and_resizes(nodes, choice, is_equal):
    constants = {"k": np.array([1, 1, 2, 2], np.float32)} if nodes is RESIZE else {}
    found = aligned(choice, nodes, IMAGES, {"a": 3.9}, **constants)
    assert (found["r"] == found["y"]) is is_equal
    if nodes is POOL:
        assert found["y"] == {"None": -6, "Align to Input": -5, "Align to Output": -6}[choice]
