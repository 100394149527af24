"""Files in which no tensor is overwritten before it is used, though the chip's planner protects no source of a view."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from espdl.quantize.api import quantize
from tests.quantize.graphs import network, op, weights


def changed_view_of_a_tensor_read_later() -> onnx.ModelProto:
    """The normalisation works in place on a view of x in the order of the network, before the Conv reads x."""
    nodes = [op("LayerNormalization", "x g", "n"), op("MatMul", "n w", "m"), op("Conv", "x k", "y")]
    constants = {"g": weights(4, positive=True), "w": weights(4, 3), "k": weights(3, 1, 1, 1)}
    return network(nodes, {"x": (1, 1, 6, 4)}, constants, outputs="m y")


def view_as_output_of_an_input_read_later() -> onnx.ModelProto:
    """The memory of x, shown by f, is given away after the MatMul."""
    nodes = [op("Flatten", "x", "f"), op("MatMul", "x w", "m"), op("MatMul", "m v", "y")]
    return network(nodes, {"x": (1, 4, 20)}, {"w": weights(20, 3), "v": weights(3, 20)}, outputs="f y")


def input_as_output() -> onnx.ModelProto:
    nodes = [op("Identity", "x", "i"), op("MatMul", "x w", "m"), op("MatMul", "m v", "y")]
    return network(nodes, {"x": (1, 4, 20)}, {"w": weights(20, 3), "v": weights(3, 20)}, outputs="i y")


def views_of_views() -> onnx.ModelProto:
    nodes = [
        op("Conv", "x k", "c"),
        op("Reshape", "c one", "v"),
        op("Reshape", "v two", "w"),
        op("Sigmoid", "w", "s"),
        op("Tanh", "s", "t"),
        op("Conv", "c l", "y"),
    ]
    constants = {"k": weights(1, 1, 1, 1), "l": weights(2, 1, 1, 1), "one": [1, 4, 6], "two": [2, 3, 4]}
    return network(nodes, {"x": (1, 1, 24, 1)}, constants, outputs="t y")


@pytest.mark.parametrize("target", ["c", "esp32p4"])
@pytest.mark.parametrize(
    "make", [changed_view_of_a_tensor_read_later, view_as_output_of_an_input_read_later, input_as_output, views_of_views]
)
def test_nothing_is_overwritten_before_it_is_used(make, target):
    source = make()
    (value,) = source.graph.input
    shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    data = np.random.default_rng(5).standard_normal((8, *shape)).astype(np.float32)
    quantized = quantize(source, list(data), target=target, test_values=True)
    model = quantized.model(arithmetic="reference")
    assert not model.warnings
    assert not quantized.warnings
    assert model.test()
    sample = {tensor.name: tensor.data for tensor in quantized.record.graph.test_inputs_value}
    at_the_end = model.run_arrays(sample)
    for tensor in quantized.record.graph.test_outputs_value:
        np.testing.assert_array_equal(at_the_end[tensor.name], tensor.data)
    assert min(quantized.snr(quantized.samples).values()) > 20


def test_a_network_without_hazards_gets_no_copies():
    nodes = [op("Conv", "x k", "c"), op("Reshape", "c s", "v"), op("Gemm", "v w", "y")]
    source = network(nodes, {"x": (1, 2, 4, 4)}, {"k": weights(3, 2, 1, 1), "s": [1, 48], "w": weights(48, 5)})
    quantized = quantize(source, [np.ones((1, 2, 4, 4), np.float32)], target="c")
    assert not [node.name for node in quantized.record.graph.node if "copy" in node.name]


def test_dropout_between_input_and_output():
    source = network([op("Dropout", "x", "y"), op("Relu", "x", "z")], {"x": (1, 5)}, outputs="y z")
    quantized = quantize(source, list(np.random.default_rng(5).standard_normal((4, 1, 5)).astype(np.float32)), target="c")
    assert min(quantized.snr(quantized.samples).values()) > 20
