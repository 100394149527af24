"""Whole int8 networks through espdl and through onnxruntime's int8: milliseconds on one and on two threads.

Run with ``make bench``. The networks have well-known shapes and random weights, so no outside file is needed. onnxruntime runs the same
network as QDQ in each of its three pairs of types; its best counts. Times are minima over rounds in which all take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from networks import mobilenet_v2, yolo11n
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from espdl.api import espdl_quantize_onnx
from espdl.dl import Model
from espdl.dl.base import _native
from espdl.dtypes import RuntimeMode

NETWORKS: dict[str, tuple[Callable[[int], onnx.ModelProto], int]] = {
    "MobileNetV2-1.0-224": (mobilenet_v2, 224),
    "YOLO11n-320": (yolo11n, 320),
}
TARGETS = {"half-up": "esp32s3", "half-even": "esp32p4"}
PAIRS = {
    "u8s8": (QuantType.QUInt8, QuantType.QInt8),
    "s8s8": (QuantType.QInt8, QuantType.QInt8),
    "u8u8": (QuantType.QUInt8, QuantType.QUInt8),
}


class Images(CalibrationDataReader):
    """Two random images."""

    def __init__(self, size: int) -> None:
        self.batches = iter({"image": image} for image in images(size))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.batches, None)


def images(size: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    return (rng.standard_normal((1, 3, size, size)).astype(np.float32) for _ in range(2))


def onnxruntime_runs(folder: Path, source: Path, size: int, threads: int) -> dict[str, Callable[[], object]]:
    prepared = folder / "prepared.onnx"
    if not prepared.exists():
        quant_pre_process(source, prepared)
    runs = {}
    for name, (activations, weights) in PAIRS.items():
        path = folder / f"{name}.onnx"
        if not path.exists():
            quantize_static(
                prepared,
                path,
                Images(size),
                quant_format=QuantFormat.QDQ,
                activation_type=activations,
                weight_type=weights,
                extra_options={"ActivationSymmetric": activations is QuantType.QInt8, "WeightSymmetric": True},
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = {"image": next(images(size))}
        runs[name] = lambda session=session, feed=feed: session.run(None, feed)
    return runs


def espdl_run(folder: Path, source: Path, size: int, target: str, arithmetic: str) -> Callable[[], object]:
    path = folder / f"{target}.espdl"
    if not path.exists():
        espdl_quantize_onnx(
            str(source),
            str(path),
            list(images(size)),
            2,
            [1, 3, size, size],
            target=target,
            error_report=False,
            export_config=False,
        )
    model = Model(path, arithmetic=arithmetic, backend="native")
    return lambda: model.run(mode=RuntimeMode.MULTI_CORE)


def minima(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            for _ in range(3):
                start = time.perf_counter()
                run()
                best[name] = min(best[name], (time.perf_counter() - start) * 1e3)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="keep the quantized networks there")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for network, (make, size) in NETWORKS.items():
            folder = (arguments.folder or Path(temporary)) / network
            folder.mkdir(parents=True, exist_ok=True)
            source = folder / "float.onnx"
            if not source.exists():
                onnx.save(make(size), source)
            for threads in (1, 2):
                _native.set_threads(threads)
                runs = {
                    f"{rounding} {arithmetic}": espdl_run(folder, source, size, target, arithmetic)
                    for rounding, target in TARGETS.items()
                    for arithmetic in ("reference", "silicon")
                }
                runs |= onnxruntime_runs(folder, source, size, threads)
                times = minima(runs, arguments.rounds)
                peer = min(times[name] for name in PAIRS)
                rows.append({"network": network, "threads": threads, "ms": times, "onnxruntime": peer})
                print(f"{network}, {threads} thread{'s' if threads > 1 else ''}: onnxruntime's best {peer:.2f} ms")
                for name, value in times.items():
                    print(f"    {name:<24}{value:>9.3f} ms{value / peer:>8.2f} x")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "system": platform.platform(), "cpus": os.cpu_count()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine, "isa": _native.ISA, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
