"""One tool's part of ``benchmarks/quantize.py``, in a process of its own. Both have the same names, only the package differs."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ANALYSED = 8
"""Batches that the error analyses look at."""
RUNS = 10


class Images:
    """Batches of one random image, each made when it is asked for."""

    def __init__(self, count: int, size: int, wrap: Callable[[np.ndarray], Any]) -> None:
        self.count, self.size, self.wrap = count, size, wrap

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        for index in range(self.count):
            image = np.random.default_rng(index).standard_normal((1, 3, self.size, self.size), np.float32)
            yield self.wrap(image)


def peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds by the clock and of all cores together, and the result."""
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    return {"wall": time.perf_counter() - start, "cpu": time.process_time() - busy}, result


def executor_of(package: str, graph: Any) -> Callable[[Any], Any]:
    """What runs one image, ready to be called again and again."""
    if package == "esp_ppq":
        executor = importlib.import_module("esp_ppq.executor").TorchExecutor(graph=graph, device="cpu")
        return lambda image: executor(image)
    run = importlib.import_module("espdl.quantize.snr").IntegerRun(graph.data, graph.graph, graph.lowered, "silicon")
    return lambda image: run.run({"image": image})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=("espdl", "esp_ppq"))
    parser.add_argument("network", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--memory", action="store_true", help="only what memory it takes, with the analyses on all images")
    arguments = parser.parse_args()
    package = arguments.package
    found: dict[str, Any] = {}
    wrap: Callable[[np.ndarray], Any] = (
        importlib.import_module("torch").from_numpy if package == "esp_ppq" else lambda image: image
    )
    images = Images(arguments.images, arguments.size, wrap)
    lazily = ["espdl.quantize.api"] if package == "espdl" else []
    found["import"], (api, *_) = timed(lambda: [importlib.import_module(name) for name in (f"{package}.api", *lazily)])

    def quantize(skip_export: bool) -> Any:
        return api.espdl_quantize_onnx(
            onnx_import_file=str(arguments.network),
            espdl_export_file=str(arguments.result.with_suffix(".espdl")),
            calib_dataloader=images,
            calib_steps=len(images),
            input_shape=[1, 3, arguments.size, arguments.size],
            target=arguments.target,
            error_report=False,
            skip_export=skip_export,
        )

    found["end to end"], graph = timed(lambda: quantize(skip_export=False))
    found["peak"] = peak()
    if arguments.memory:
        analyse = importlib.import_module(f"{package}.quantization.analyse")
        for name in ("graphwise_error_analyse", "layerwise_error_analyse", "statistical_analyse"):
            quiet = {} if name.startswith("stat") else {"verbose": False}
            getattr(analyse, name)(graph=graph, running_device="cpu", dataloader=images, steps=len(images), **quiet)
        found["peak of all"] = peak()
    else:
        graph = None
        found["ptq"], graph = timed(lambda: quantize(skip_export=True))
        try:
            analyse = importlib.import_module(f"{package}.quantization.analyse")
        except ModuleNotFoundError as error:
            print(f"no analysis: {error}")
        else:
            steps = ANALYSED - 1 if package == "esp_ppq" else ANALYSED  # there one more is taken than asked for
            common = {"running_device": "cpu", "dataloader": images, "steps": steps, "verbose": False}
            for name in ("graphwise", "layerwise"):
                found[name], _ = timed(lambda name=name: getattr(analyse, f"{name}_error_analyse")(graph=graph, **common))
            if package == "espdl":
                statistics = {name: common[name] for name in ("running_device", "dataloader", "steps")}
                found["statistics"], _ = timed(lambda: analyse.statistical_analyse(graph=graph, **statistics))
        run, image = executor_of(package, graph), next(iter(images))
        run(image)
        runs = [timed(lambda: run(image))[0] for _ in range(RUNS)]
        found["executor"] = {clock: min(run[clock] for run in runs) for clock in ("wall", "cpu")}
        found["peak of all"] = peak()
    arguments.result.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
