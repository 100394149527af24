"""One tool's part of ``benchmarks/train.py``, in a process of its own. Both have the same names, only the package differs."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from quantize_child import Images, timed

RUNS = 20


def watched(owner: Any, name: str) -> dict[str, float]:
    """Times a function that something else calls: seconds of all its calls, by the clock and of all cores."""
    function: Callable[..., Any] = getattr(owner, name)
    total = {"wall": 0.0, "cpu": 0.0}

    def watch(*args: Any, **kwargs: Any) -> Any:
        seconds, result = timed(lambda: function(*args, **kwargs))
        for clock, value in seconds.items():
            total[clock] += value
        return result

    setattr(owner, name, watch)
    return total


def training(package: str) -> dict[str, float]:
    """Seconds of the part of quantizing that trains, filled in when it runs."""
    if package == "espdl":
        return watched(importlib.import_module("espdl.quantize.quantizer"), "train_graph")
    passes = importlib.import_module("esp_ppq.quantization.optim")
    return watched(passes.TrainedQuantizationThresholdPass, "optimize")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=("espdl", "esp_ppq"))
    parser.add_argument("section", choices=("tqt", "executor"))
    parser.add_argument("network", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    package = arguments.package
    images = Images(arguments.images, arguments.size, torch.from_numpy)
    api = importlib.import_module(f"{package}.api")
    setting = importlib.import_module(package).QuantizationSettingFactory.espdl_setting()
    found: dict[str, Any] = {}
    if arguments.section == "tqt":
        found["training"] = training(package)
        setting.tqt_optimization = True
        setting.tqt_optimization_setting.steps = arguments.steps
        if package == "espdl":
            setting.tqt_optimization_setting.whole_steps = 0  # ESP-PPQ trains blocks only

    found["whole"], graph = timed(
        lambda: api.espdl_quantize_onnx(
            onnx_import_file=str(arguments.network),
            espdl_export_file=str(arguments.result.with_suffix(".espdl")),
            calib_dataloader=images,
            calib_steps=len(images),
            input_shape=[1, 3, arguments.size, arguments.size],
            target=arguments.target,
            setting=setting,
            device=arguments.device,
            error_report=False,
            skip_export=True,
        )
    )
    if arguments.section == "tqt" and package == "espdl":
        for line in (*graph.measures, *graph.warnings):
            print(line)
        found["decibels"] = min(graph.snr({"image": image.numpy()} for image in images).values())
    if arguments.section == "executor":
        executor = importlib.import_module(f"{package}.executor").TorchExecutor(graph=graph, device="cpu")
        pictures = list(images)[:4]
        calls: dict[str, Callable[[Any], Any]] = {"run": executor}
        if package == "espdl":
            calls["gradient"] = lambda picture: executor.forward_with_gradient(picture)
        for name, call in calls.items():
            with torch.no_grad():
                call(pictures[0])
                runs = [timed(lambda call=call, at=at: call(pictures[at % 4]))[0] for at in range(RUNS)]
            found[name] = {clock: min(run[clock] for run in runs) for clock in ("wall", "cpu")}
    arguments.result.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
