"""One small network for each operator that the quantizer accepts, and what it takes to quantize it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from espdl.quantize.api import QuantizedModel, quantize
from tests.quantize.graphs import network, op, weights

IMAGE = (1, 4, 8, 8)
ROWS = (1, 6, 8)
Maker = Callable[[], onnx.ModelProto]


def single(op_type: str, inputs: str = "x", constants: Any = None, shape: tuple[int, ...] = IMAGE, /, **attributes: Any) -> Maker:
    """A network of one node."""
    opset = 23 if op_type in ("Attention", "RMSNormalization") else 20 if op_type == "Gelu" else 18
    return lambda: network([op(op_type, inputs, "y", **attributes)], {"x": shape}, constants, opset=opset)


def between(op_type: str, inputs: str, constants: Any = None, /, **attributes: Any) -> Maker:
    """Two layers with an operator of their results ``a`` and ``b`` between."""
    nodes = [op("Conv", "x ka", "a", kernel_shape=[1, 1]), op("Conv", "x kb", "b", kernel_shape=[1, 1])]
    kernels = {"ka": weights(4, 4, 1, 1), "kb": weights(4, 4, 1, 1, seed=1)}
    return lambda: network([*nodes, op(op_type, inputs, "y", **attributes)], {"x": IMAGE}, {**kernels, **(constants or {})})


def of_positive(op_type: str) -> Maker:
    """An operator that takes positive numbers only."""
    return lambda: network([op("Sigmoid", "x", "s"), op("Add", "s c", "p"), op(op_type, "p", "y")], {"x": IMAGE}, {"c": [0.25]})


def recurrent(op_type: str, gates: int, direction: str = "forward") -> Maker:
    ways = 2 if direction == "bidirectional" else 1
    constants = {
        "w": weights(ways, gates * 6, 8) * 0.3,
        "r": weights(ways, gates * 6, 6, seed=1) * 0.3,
        "b": weights(ways, 2 * gates * 6, seed=2) * 0.1,
    }
    options = {"linear_before_reset": 1} if op_type == "GRU" else {}
    node = op(op_type, "x w r b", "y", hidden_size=6, direction=direction, **options)
    return lambda: network([node], {"x": (5, 1, 8)}, constants)


def logic(op_type: str) -> Maker:
    """Truth values that choose between two tensors by arithmetic are not to be had: they are the output."""
    nodes = [op("Greater", "x c", "p"), op("Less", "x d", "q"), op(op_type, "p" if op_type == "Not" else "p q", "y")]

    def make() -> onnx.ModelProto:
        model = network(nodes, {"x": IMAGE}, {"c": [0.5], "d": [-0.5]})
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
        return model

    return make


def comparison(op_type: str) -> Maker:
    def make() -> onnx.ModelProto:
        model = network([op(op_type, "x c", "y")], {"x": IMAGE}, {"c": [0.5]})
        model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.BOOL
        return model

    return make


SMOOTH: dict[str, Maker] = {
    "Conv": single("Conv", "x k b", {"k": weights(6, 4, 3, 3), "b": weights(6)}, pads=[1, 0, 2, 1], strides=[2, 1]),
    "Conv depthwise": single("Conv", "x k b", {"k": weights(4, 1, 3, 3), "b": weights(4)}, group=4, pads=[1, 1, 1, 1]),
    "Conv 1D": single("Conv", "x k b", {"k": weights(5, 6, 3), "b": weights(5)}, ROWS, pads=[2, 0], dilations=[2]),
    "ConvTranspose": single("ConvTranspose", "x k", {"k": weights(4, 3, 3, 3)}, strides=[2, 2], pads=[1, 1, 1, 1]),
    "Gemm": single("Gemm", "x w b", {"w": weights(8, 5), "b": weights(5)}, (1, 8)),
    "Gemm turned": single("Gemm", "x w b", {"w": weights(5, 8), "b": weights(5)}, (1, 8), transB=1, alpha=0.5),
    "MatMul": single("MatMul", "x w", {"w": weights(8, 5)}, ROWS),
    "MatMul computed": lambda: network([op("Transpose", "x", "t", perm=[0, 2, 1]), op("MatMul", "x t", "y")], {"x": ROWS}),
    "Add": between("Add", "a b"),
    "Sub": between("Sub", "a b"),
    "Mul": between("Mul", "a b"),
    "Div": lambda: network([op("Sigmoid", "x", "s"), op("Add", "s c", "p"), op("Div", "x p", "y")], {"x": IMAGE}, {"c": [0.5]}),
    "Swish": lambda: network([op("Sigmoid", "x", "s"), op("Mul", "x s", "y")], {"x": IMAGE}),
    "Sigmoid": single("Sigmoid"),
    "Tanh": single("Tanh"),
    "Gelu": single("Gelu"),
    "Gelu tanh": single("Gelu", "x", None, IMAGE, approximate="tanh"),
    "Exp": single("Exp"),
    "Elu": single("Elu", "x", None, IMAGE, alpha=0.5),
    "Log": of_positive("Log"),
    "Sqrt": of_positive("Sqrt"),
    "Neg": single("Neg"),
    "Softmax": single("Softmax", "x", None, ROWS, axis=-1),
    "LogSoftmax": single("LogSoftmax", "x", None, ROWS, axis=1),
    "LayerNormalization": single("LayerNormalization", "x g b", {"g": weights(8, positive=True), "b": weights(8)}, ROWS),
    "RMSNormalization": single("RMSNormalization", "x g", {"g": weights(8, positive=True)}, ROWS),
    "LpNormalization": single("LpNormalization", "x", None, ROWS, axis=-1, p=2),
    "Attention": single("Attention", "x x x", None, (1, 2, 6, 8)),
    "GlobalAveragePool": single("GlobalAveragePool"),
    "AveragePool": single("AveragePool", "x", None, IMAGE, kernel_shape=[2, 2], strides=[2, 2]),
    "AveragePool pads": single("AveragePool", "x", None, IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "ReduceMean": single("ReduceMean", "x a", {"a": [1]}),
    "ReduceSum": single("ReduceSum", "x a", {"a": [2]}),
    "ReduceL2": single("ReduceL2", "x a", {"a": [1]}),
    "ReduceSumSquare": single("ReduceSumSquare", "x a", {"a": [1]}),
    "ReduceLogSumExp": single("ReduceLogSumExp", "x a", {"a": [1]}),
    "ReduceProd": single("ReduceProd", "x a", {"a": [1]}),
    "ReduceLogSum": lambda: network([op("Sigmoid", "x", "s"), op("ReduceLogSum", "s a", "y")], {"x": IMAGE}, {"a": [1]}),
    "Reshape": single("Reshape", "x s", {"s": [1, 8, 32]}),
    "Flatten": single("Flatten"),
    "Squeeze": single("Squeeze", "x a", {"a": [2]}, (1, 4, 1, 8)),
    "Unsqueeze": single("Unsqueeze", "x a", {"a": [2]}, ROWS),
    "Transpose": single("Transpose", "x", None, IMAGE, perm=[0, 2, 3, 1]),
    "Concat": between("Concat", "a b", axis=1),
    "Split": lambda: network([op("Split", "x", "y z", axis=1, num_outputs=2)], {"x": IMAGE}, outputs="y z"),
    "Slice": single("Slice", "x s e a t", {"s": [6, 1], "e": [0, 3], "a": [2, 1], "t": [-2, 1]}),
    "Pad": single("Pad", "x p v", {"p": [0, 0, 1, 2, 0, 0, 0, 1], "v": np.float32(0.5)}),
    "Pad reflect": single("Pad", "x p", {"p": [0, 0, 1, 2, 0, 0, 0, 1]}, IMAGE, mode="reflect"),
    "Pad edge": single("Pad", "x p", {"p": [0, 0, 1, 2, 0, 0, 0, 1]}, IMAGE, mode="edge"),
    "Gather": single("Gather", "x i", {"i": [2, 0, -1]}, IMAGE, axis=1),
    "ScatterND": single("ScatterND", "x i u", {"i": [[0, 2], [0, 1]], "u": weights(2, 8)}, ROWS),
    "ReverseSequence": single("ReverseSequence", "x l", {"l": [5]}, (1, 6, 8), batch_axis=0, time_axis=1),
    "DepthToSpace": single("DepthToSpace", "x", None, (1, 8, 4, 4), blocksize=2),
    "DepthToSpace CRD": single("DepthToSpace", "x", None, (1, 8, 4, 4), blocksize=2, mode="CRD"),
    "SpaceToDepth": single("SpaceToDepth", "x", None, IMAGE, blocksize=2),
    "Resize nearest": single("Resize", "x _ s", {"s": np.array([1, 1, 2, 2], np.float32)}, IMAGE, mode="nearest"),
    "Resize linear": single("Resize", "x _ s", {"s": np.array([1, 1, 2, 2], np.float32)}, IMAGE, mode="linear"),
    "Identity": lambda: network([op("Tanh", "x", "t"), op("Identity", "t", "y")], {"x": IMAGE}),
    "GRU": recurrent("GRU", 3),
    "GRU both ways": recurrent("GRU", 3, "bidirectional"),
    "LSTM": recurrent("LSTM", 4),
}
"""Those whose slope is a number nearly everywhere, without kinks at the numbers that are tried."""

KINKED: dict[str, Maker] = {
    "Relu": between("Relu", "a"),
    "Clip": between("Clip", "a l h", {"l": np.float32(-0.5), "h": np.float32(1.5)}),
    "LeakyRelu": single("LeakyRelu", "x", None, IMAGE, alpha=0.1),
    "PRelu": single("PRelu", "x s", {"s": weights(4, 1, 1) * 0.2}),
    "HardSigmoid": single("HardSigmoid"),
    "HardSwish": single("HardSwish"),
    "Max": between("Max", "a b"),
    "Min": between("Min", "a b"),
    "MaxPool": single("MaxPool", "x", None, IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "GlobalMaxPool": single("GlobalMaxPool"),
    "ReduceMax": single("ReduceMax", "x a", {"a": [1]}),
    "ReduceMin": single("ReduceMin", "x a", {"a": [1]}),
    "ReduceL1": single("ReduceL1", "x a", {"a": [1]}),
    "Mod": single("Mod", "x c", {"c": [1.5]}, IMAGE, fmod=1),
    "Pow": lambda: network([op("Relu", "x", "r"), op("Pow", "r c", "y")], {"x": IMAGE}, {"c": [1.5]}),
}

TRUTH: dict[str, Maker] = {
    **{name: comparison(name) for name in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal")},
    **{name: logic(name) for name in ("And", "Or", "Xor", "Not")},
}

ALL = {**SMOOTH, **KINKED, **TRUTH}


def samples(model: onnx.ModelProto, count: int = 8, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Random inputs of the shapes that a network states."""
    rng = np.random.default_rng(seed)
    names = {tensor.name for tensor in model.graph.initializer}
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.input
        if value.name not in names
    }
    return [{name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(count)]


def quantized(model: onnx.ModelProto, target: str = "esp32s3", bits: int | str = 8, **options: Any) -> QuantizedModel:
    return quantize(model, samples(model), target=target, bits=bits, **options)
