"""Layers of real networks through each backend and through onnxruntime's int8 convolution: milliseconds, and multiply-accumulates a second.

Run with ``make bench``. Weights and inputs are random; times are the best of several repeats on one thread. The native column is set
beside what the CPU can do at most: its multiply-accumulate instruction on registers, without a load or a store, again and again. The last
columns are the native times of other arithmetic over that of int8: int16 activations, and the ESP32-S3's lanes of 20 bits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from espdl.chips import Accumulator, Overflow
from espdl.dl.base import LaneRule, MacFilter, Window, get_kernels, missing_native_notice
from espdl.rounding import Rounding

if not missing_native_notice():
    from espdl.dl.base import _native


@dataclass(frozen=True)
class Layer:
    """One convolution on a square image."""

    name: str
    size: int
    channels: int
    outputs: int
    kernel: int
    stride: int = 1
    depthwise: bool = False

    @property
    def extent(self) -> int:
        return (self.size + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1

    @property
    def macs(self) -> int:
        depth = 1 if self.depthwise else self.channels
        return self.extent**2 * self.outputs * self.kernel**2 * depth


LAYERS = [
    Layer("stem 3x3/2", 224, 3, 32, 3, 2),
    Layer("pointwise 56x56", 56, 24, 144, 1),
    Layer("depthwise 56x56", 56, 144, 144, 3, depthwise=True),
    Layer("pointwise 14x14", 14, 96, 576, 1),
    Layer("pointwise 7x7", 7, 320, 1280, 1),
    Layer("conv 3x3 40x40", 40, 64, 64, 3),
]


def best_ms(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


@dataclass(frozen=True)
class Arithmetic:
    """Types of a layer. ``spread``: standard deviation of weights and inputs, None for all values alike."""

    inputs: type = np.int8
    weights: type = np.int8
    lanes: bool = False
    spread: float | None = None


OTHERS = {
    "int16 x int8": Arithmetic(np.int16, np.int8),
    "int16": Arithmetic(np.int16, np.int16),
    "20 bits": Arithmetic(lanes=True, spread=30),
    "20 bits, full": Arithmetic(lanes=True, spread=60),
}


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: type, spread: float | None) -> np.ndarray:
    limits = np.iinfo(dtype)
    if spread is None:
        return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
    return np.clip(rng.standard_normal(shape) * spread, limits.min, limits.max).astype(dtype)


def espdl_layer(layer: Layer, backend: str, arithmetic: Arithmetic = Arithmetic()) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    kernel = (layer.kernel, layer.kernel)
    shape = (*kernel, layer.outputs) if layer.depthwise else (*kernel, layer.channels, layer.outputs)
    filter = MacFilter(
        weights=random(rng, shape, arithmetic.weights, arithmetic.spread),
        depthwise=layer.depthwise,
        bias=rng.integers(-1000, 1000, layer.outputs),
        shift=np.array([10 if arithmetic.inputs is np.int8 else 20]),
        rounding=Rounding.HALF_EVEN,
        relu=True,
        input_dtype=np.dtype(arithmetic.inputs),
        output_dtype=np.dtype(arithmetic.inputs),
        lanes=(LaneRule(0, layer.outputs, Accumulator(20, Overflow.SATURATE)),) if arithmetic.lanes else (),
    )
    x = random(rng, (1, layer.size, layer.size, layer.channels), arithmetic.inputs, arithmetic.spread)
    if arithmetic.lanes:
        x = np.maximum(x, 0)  # as behind a Relu
    out = np.empty((1, layer.extent, layer.extent, layer.outputs), arithmetic.inputs)
    pad = layer.kernel // 2
    return get_kernels(backend).conv2d(filter, Window(strides=(layer.stride,) * 2, pads=(pad,) * 4)).step(x, out)


def limit_gmacs() -> float:
    """Billions of multiply-accumulates a second that the CPU does on registers."""
    best = 0.0
    for _ in range(50):
        start = time.perf_counter()
        macs = _native.dots(20000)
        best = max(best, macs / (time.perf_counter() - start) / 1e9)
    return best


def onnxruntime_layer(layer: Layer) -> Callable[[], object]:
    """QLinearConv with uint8 activations and int8 weights, which is what onnxruntime runs fastest on most CPUs."""
    rng = np.random.default_rng(0)
    shape = (layer.outputs, 1 if layer.depthwise else layer.channels, layer.kernel, layer.kernel)
    constants = {
        "w": rng.integers(-127, 128, shape).astype(np.int8),
        "b": rng.integers(-1000, 1000, layer.outputs).astype(np.int32),
        "sx": np.float32(1),
        "zx": np.uint8(128),
        "sw": np.float32(1),
        "zw": np.int8(0),
        "sy": np.float32(1024),
        "zy": np.uint8(128),
    }
    pad = layer.kernel // 2
    node = helper.make_node(
        "QLinearConv",
        ["x", "sx", "zx", "w", "sw", "zw", "sy", "zy", "b"],
        ["y"],
        pads=[pad] * 4,
        strides=[layer.stride] * 2,
        group=layer.channels if layer.depthwise else 1,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, layer.channels, layer.size, layer.size])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, layer.outputs, layer.extent, layer.extent])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = rng.integers(0, 256, (1, layer.channels, layer.size, layer.size)).astype(np.uint8)
    return lambda: session.run(None, {"x": x})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    native = not missing_native_notice()
    backends = ["numpy"] + (["native"] if native else [])
    limit = 0.0
    if native:
        _native.set_threads(1)
        limit = limit_gmacs()
        print(f"{_native.ISA}: at most {limit:.0f} GMAC/s on one core")
    rows = []
    for layer in LAYERS:
        times = {name: best_ms(espdl_layer(layer, name), arguments.repeats) for name in backends}
        times["onnxruntime"] = best_ms(onnxruntime_layer(layer), arguments.repeats)
        row = {"layer": layer.name, "macs": layer.macs, "ms": times}
        if native:
            limit = max(limit, limit_gmacs())
            row["of_limit"] = layer.macs / times["native"] / 1e6 / limit
            others = {
                name: best_ms(espdl_layer(layer, "native", arithmetic), arguments.repeats) for name, arithmetic in OTHERS.items()
            }
            row["over_int8"] = {name: value / times["native"] for name, value in others.items()}
        rows.append(row)
    columns = [*backends, "onnxruntime"]
    head = f"{'layer':<18}{'MMAC':>8}" + "".join(f"{name + ' ms':>16}{'GMAC/s':>8}" for name in columns)
    print(head + (f"{'of limit':>10}" + "".join(f"{name:>15}" for name in OTHERS) if native else ""))
    for row in rows:
        cells = "".join(f"{row['ms'][name]:>16.3f}{row['macs'] / row['ms'][name] / 1e6:>8.1f}" for name in columns)
        if native:
            cells += f"{row['of_limit']:>9.0%} " + "".join(f"{value:>14.2f}x" for value in row["over_int8"].values())
        print(f"{row['layer']:<18}{row['macs'] / 1e6:>8.2f}{cells}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "system": platform.platform(), "cpus": os.cpu_count()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(
            json.dumps({"machine": machine, "python": platform.python_version(), "limit_gmacs": limit, "rows": rows}, indent=2)
            + "\n"
        )


if __name__ == "__main__":
    main()
