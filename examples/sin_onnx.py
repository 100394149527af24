"""Fits sin(x) on [0, 2 pi] with a small network, quantizes it, and compares what the chip will answer with sin (guide 3.1).

    python examples/sin_onnx.py --target esp32s3

Needs no PyTorch: the hidden layer is random, the last one is found by least squares. ``sin_torch.py`` trains all of it.
"""

from __future__ import annotations

import numpy as np
import onnx
from common import arguments
from onnx import TensorProto, helper, numpy_helper

from espdl import QuantizationSettingFactory
from espdl.api import espdl_quantize_onnx

HIDDEN = 32


def sin_network() -> onnx.ModelProto:
    """One hidden layer of ReLUs whose knees lie evenly over [0, 2 pi]; input ``x`` [1, 1], output ``y`` [1, 1]."""
    x = np.linspace(0, 2 * np.pi, 1000)[:, np.newaxis]
    knees = np.linspace(0, 2 * np.pi, HIDDEN, endpoint=False)
    hidden = np.maximum(x - knees, 0)
    last, *_ = np.linalg.lstsq(hidden, np.sin(x), rcond=1e-6)
    arrays = {"w1": np.ones((HIDDEN, 1)), "b1": -knees, "w2": last.T, "b2": np.zeros(1)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="hidden", transB=1),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="last", transB=1),
        ],
        "sin",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def main() -> None:
    parser = arguments(__doc__, "esp32p4")
    parser.add_argument("--bits", type=int, default=8, choices=(8, 16))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "sin.onnx"
    onnx.save(sin_network(), path)

    points = np.linspace(0, 2 * np.pi, 200, dtype=np.float32)
    model = espdl_quantize_onnx(
        onnx_import_file=path,
        espdl_export_file=options.output / "sin.espdl",
        calib_dataloader=[np.array([[point]]) for point in points],
        calib_steps=len(points),
        input_shape=[1, 1],
        target=options.target,
        num_of_bits=options.bits,
        setting=QuantizationSettingFactory.espdl_setting(options.bits),
        export_test_values=True,
    )
    answers = [float(model.run({"x": np.array([[point]])})["y"].item()) for point in points[::10]]
    print(f"largest error of sin on {options.target}: {np.max(np.abs(answers - np.sin(points[::10]))):.3f}")


if __name__ == "__main__":
    main()
