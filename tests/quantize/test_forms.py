"""A Transpose of the network moves no data: readers of one stored tensor are told apart by how it is stored, not by its order."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from espdl.quantize.api import quantize
from tests.quantize.graphs import network, op, weights


def gram() -> onnx.ModelProto:
    """x^T x: the left operand is x in another order, the right one x itself, packed."""
    return network([op("Transpose", "x", "t", perm=[0, 2, 1]), op("MatMul", "t x", "y")], {"x": (1, 10, 16)})


def two_reshapes() -> onnx.ModelProto:
    """One of x, one of its transpose."""
    nodes = [
        op("Flatten", "x", "f"),
        op("Transpose", "x", "t", perm=[0, 2, 1]),
        op("Reshape", "t shape", "r"),
        op("Sigmoid", "r", "s"),
        op("Gemm", "f w", "y"),
    ]
    return network(nodes, {"x": (1, 4, 20)}, {"shape": [1, 20, 2, 2], "w": weights(80, 3)}, outputs="s y")


def square() -> onnx.ModelProto:
    """Axes of equal length, so that no shape tells the orders apart."""
    nodes = [
        op("Conv", "x k", "c"),
        op("Transpose", "c", "t", perm=[0, 1, 3, 2]),
        op("MatMul", "c t", "m"),
        op("MatMul", "t c", "n"),
        op("Add", "m n", "y"),
    ]
    return network(nodes, {"x": (1, 6, 6, 6)}, {"k": weights(6, 6, 1, 1) * 0.3})


def sums_of_a_tensor_and_its_transposes() -> onnx.ModelProto:
    nodes = [
        op("Transpose", "x", "t", perm=[0, 2, 1]),
        op("Add", "t b", "a"),
        op("LayerNormalization", "x g", "n"),
        op("LayerNormalization", "t g", "o"),
        op("Mul", "a n", "p"),
        op("Add", "p o", "y"),
    ]
    return network(nodes, {"x": (1, 8, 8)}, {"b": weights(8, 8), "g": weights(8, positive=True)})


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("make", [gram, two_reshapes, square, sums_of_a_tensor_and_its_transposes])
def test_orders_of_one_tensor(make, target):
    source = make()
    shape = [dim.dim_value for dim in source.graph.input[0].type.tensor_type.shape.dim]
    data = np.random.default_rng(3).standard_normal((8, *shape)).astype(np.float32)
    quantized = quantize(source, list(data), target=target, test_values=True)
    assert quantized.model(arithmetic="reference").test()
    assert min(quantized.snr(quantized.samples).values()) > 20
