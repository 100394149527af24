"""Quantizes a temporal convolutional network for whole recordings and for a stream, and feeds the stream (guide 3.9).

    python examples/streaming.py --target esp32p4

Needs no PyTorch: the network has the layers of the guide's TCN with random weights. ``tcn.py`` does the same from PyTorch.
"""

from __future__ import annotations

import numpy as np
import onnx
from common import arguments
from onnx import TensorProto, helper, numpy_helper

from espdl.api import espdl_quantize_onnx, insert_streaming_cache_on_var
from espdl.dl import Model, StreamingSession

FEATURES, FRAMES, CHUNK = 16, 24, 3
CHANNELS, OUTPUT_FRAMES, CLASSES = 32, 3, 16


class Network:
    """Builds the TCN layer by layer."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op_type: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output.removesuffix("_output_0"), **attributes))
        return output

    def conv(self, source: str, name: str, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1, group: int = 1) -> str:
        """A convolution of the present and past frames: [N, C, T] -> [N, D, T]."""
        shape = (outputs, inputs // group, kernel)
        weights = self.random.standard_normal(shape) * np.sqrt(2 / (shape[1] * kernel))
        names = [self.constant(f"{name}.weight", weights.astype(np.float32))]
        names += [self.constant(f"{name}.bias", (self.random.standard_normal(outputs) / 10).astype(np.float32))]
        past = dilation * (kernel - 1)
        settings = {"kernel_shape": [kernel], "dilations": [dilation], "pads": [past, 0], "group": group}
        return self.add("Conv", [source, *names], f"/{name}/Conv_output_0", **settings)

    def block(self, source: str, name: str, dilation: int) -> str:
        """A depthwise and a pointwise convolution with Relu, and Swish."""
        deep = self.add(
            "Relu",
            [self.conv(source, f"{name}/depthwise", CHANNELS, CHANNELS, 3, dilation, CHANNELS)],
            f"/{name}/depthwise/Relu_output_0",
        )
        wide = self.add("Relu", [self.conv(deep, f"{name}/pointwise", CHANNELS, CHANNELS)], f"/{name}/pointwise/Relu_output_0")
        gate = self.add("Sigmoid", [wide], f"/{name}/Sigmoid_output_0")
        return self.add("Mul", [wide, gate], f"/{name}/Mul_output_0")

    def model(self) -> onnx.ModelProto:
        """[1, 16, 24] -> [1, 16]: three blocks, a residual branch around them, the mean of three frames, and a Gemm of the last three."""
        first = x = self.conv("input", "prev_conv", FEATURES, CHANNELS)
        for index, dilation in enumerate((1, 2, 1)):
            x = self.block(x, f"layer.{index}", dilation)
        x = self.add("Add", [first, x], "/Add_output_0")
        x = self.add("AveragePool", [x], "/avgpool/AveragePool_output_0", kernel_shape=[3], pads=[2, 0], count_include_pad=1)
        x = self.conv(x, "out_conv", CHANNELS, FEATURES)
        bounds = [("starts", -OUTPUT_FRAMES), ("ends", FRAMES), ("axes", 2)]
        parts = [self.constant(f"/Slice_{name}", np.array([number])) for name, number in bounds]
        x = self.add("Slice", [x, *parts], "/Slice_output_0")
        x = self.add("Flatten", [x], "/Flatten_output_0", axis=1)
        size = FEATURES * OUTPUT_FRAMES
        matrix = self.constant("linear.weight", (self.random.standard_normal((size, CLASSES)) / np.sqrt(size)).astype(np.float32))
        self.add("Gemm", [x, matrix], "output")
        graph = helper.make_graph(
            self.nodes,
            "tcn",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, FEATURES, FRAMES])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, CLASSES])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def main() -> None:
    options = arguments(__doc__, "esp32p4").parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    network = options.output / "tcn.onnx"
    onnx.save(Network().model(), network)
    recordings = np.random.default_rng(1).standard_normal((64, FEATURES, FRAMES)).astype(np.float32)
    settings = {
        "onnx_import_file": network,
        "calib_dataloader": [recordings[start : start + 2] for start in range(0, 64, 2)],
        "calib_steps": 32,
        "input_shape": [1, FEATURES, FRAMES],
        "target": options.target,
        "num_of_bits": 8,
        "device": "cpu",
        "verbose": 1,
    }

    # The network for a whole recording
    offline = options.output / "tcn.espdl"
    espdl_quantize_onnx(espdl_export_file=offline, error_report=True, export_test_values=True, **settings)

    # The same one for chunks: convolutions and poolings get their caches, and the Slice is told that frames before a chunk are there
    streaming_table = []
    streaming_table.append(insert_streaming_cache_on_var("/out_conv/Conv_output_0", OUTPUT_FRAMES - 1))
    streaming_table.append(insert_streaming_cache_on_var("PPQ_Variable_0", 1, "/Slice"))
    streaming = options.output / "tcn_streaming.espdl"
    espdl_quantize_onnx(
        espdl_export_file=streaming,
        error_report=False,
        export_test_values=False,
        auto_streaming=True,
        streaming_input_shape=[1, FEATURES, CHUNK],
        streaming_table=streaming_table,
        **settings,
    )

    # A recording at once, and frame by frame as they come from a microphone
    frames = recordings[:1].transpose(0, 2, 1)
    whole = Model(offline).run_arrays({"input": frames})["output"]
    session = StreamingSession(Model(streaming))
    for index in range(FRAMES):
        answers = session.push(frames[:, index : index + 1])["output"]
        if len(answers):
            last = answers
    print(f"{session.runs} runs of {CHUNK} frames; the last answer equals the whole recording's: {np.array_equal(last, whole)}")


if __name__ == "__main__":
    main()
