"""A network that finds green and blue squares of 16 pixels on its grid: outputs of ESPDet, weights by hand. And pictures for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from espdl.api import espdl_quantize_onnx

SIDE = 64
GREEN, BLUE, GRAY = (0, 255, 0), (0, 0, 255), (128, 128, 128)


def network() -> onnx.ModelProto:
    nodes, constants = [], []

    def conv(name: str, source: str, weight: list[list[float]], bias: list[float]) -> None:
        kernel = np.array(weight, np.float32)[:, :, None, None]
        constants.extend(
            [numpy_helper.from_array(kernel, f"{name}_w"), numpy_helper.from_array(np.array(bias, np.float32), f"{name}_b")]
        )
        nodes.append(helper.make_node("Conv", [source, f"{name}_w", f"{name}_b"], [name], name=f"{name}_conv"))

    values = []
    for index, stride in enumerate((8, 16, 32)):
        pooled, cells = f"pooled{index}", SIDE // stride
        nodes.append(
            helper.make_node("AveragePool", ["images"], [pooled], name=pooled, kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        # on green or blue 4, on gray -4; in the other stages everything is far below
        scale = 8.0 if index == 1 else 0.0
        conv(f"score{index}", pooled, [[-scale, scale, -scale], [-scale, -scale, scale]], [-4.0 if index == 1 else -8.0] * 2)
        conv(f"box{index}", pooled, [[0.0] * 3] * 4, [0.5] * 4)
        for name, channels in ((f"score{index}", 2), (f"box{index}", 4)):
            values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, cells, cells]))
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, "squares", [picture], values, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def picture(*squares: tuple[int, int, tuple[int, int, int]], width: int = SIDE, height: int = SIDE, side: int = 16) -> np.ndarray:
    """Gray pixels with squares: column and row of the upper left corner, and colour."""
    pixels = np.full((height, width, 3), GRAY, np.uint8)
    for x, y, color in squares:
        pixels[y : y + side, x : x + side] = color
    return pixels


def make(folder: Path, target: str = "esp32p4") -> Path:
    """Writes squares.onnx and squares.espdl; returns the path of the latter."""
    onnx.save(network(), folder / "squares.onnx")
    batch = np.moveaxis(picture((0, 0, GREEN), (32, 16, BLUE), (48, 48, (255, 255, 255))), 2, 0)[np.newaxis] / np.float32(255)
    espdl_quantize_onnx(
        str(folder / "squares.onnx"),
        str(folder / "squares.espdl"),
        [batch],
        1,
        [1, 3, SIDE, SIDE],
        target=target,
        error_report=False,
    )
    return folder / "squares.espdl"
