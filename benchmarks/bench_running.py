"""Whole int8 networks in use: load to first result, a second thread, many inputs at once, heap allocations of a steady run.

Takes the folder in which ``bench_networks.py --folder`` left the quantized networks. Times are minima; one and two threads take turns, so
that both see the same machine.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from espdl.dl import Model
from espdl.dl.base import _native
from espdl.dtypes import RuntimeMode

IMAGES = 16


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(works: Sequence[Callable[[], object]], rounds: int, repeats: int) -> list[float]:
    """Best seconds of each; every round runs each some times in a row."""
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for index, work in enumerate(works):
            work()
            best[index] = min(best[index], *(seconds(work) for _ in range(repeats)))
    return best


def on_threads(threads: int, work: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        if _native.threads() != threads:
            _native.set_threads(threads)
        work()

    return run


def first_result(path: Path, inputs: dict[str, np.ndarray], rounds: int) -> float:
    """Seconds from the file to the first result, beyond those of a run."""
    _native.set_threads(1)
    best, run = float("inf"), float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        model = Model(path, backend="native")
        model.run(inputs)
        best = min(best, time.perf_counter() - start)
        run = min(run, *(seconds(lambda model=model: model.run(inputs)) for _ in range(5)))
    return best - run


def allocations(model: Model, rounds: int = 20) -> dict[str, int]:
    """What steady runs allocate: by C++, and bytes that Python keeps."""
    run = lambda: model.run(mode=RuntimeMode.MULTI_CORE)  # noqa: E731
    for _ in range(3):
        run()
    native = _native.allocations()
    for _ in range(rounds):
        run()
    native = _native.allocations() - native
    tracemalloc.start()
    run()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(rounds):
        run()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"native_allocations": native, "python_bytes": max(0, after - before)}


def measure(path: Path, rounds: int) -> dict[str, Any]:
    model = Model(path, backend="native")
    rng = np.random.default_rng(0)
    inputs = {
        name: rng.integers(-128, 128, tensor.shape).astype(tensor.dtype.numpy) for name, tensor in model.get_inputs().items()
    }
    many = {name: np.repeat(array[None], IMAGES, axis=0) for name, array in inputs.items()}
    model.run(inputs)
    run = partial(model.run, mode=RuntimeMode.MULTI_CORE)
    return {
        "network": path.parent.name,
        "megabytes": path.stat().st_size / 1e6,
        "run_ms": [best * 1e3 for best in in_turns([on_threads(n, run) for n in (1, 2)], rounds, 4)],
        "run_many_ms": [best * 1e3 for best in in_turns([partial(model.run_many, many, n) for n in (1, 2)], rounds // 2, 1)],
        "first_result_ms": first_result(path, inputs, rounds) * 1e3,
    } | allocations(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    rows = []
    for path in sorted(arguments.folder.glob("*/esp32p4.espdl")):
        rows.append(row := measure(path, arguments.rounds))
        one, two = row["run_ms"]
        many_one, many_two = row["run_many_ms"]
        print(f"{row['network']}, {row['megabytes']:.1f} MB")
        print(f"    run on 1 and 2 threads        {one:>8.2f} {two:>7.2f} ms {one / two:>6.2f} x")
        print(f"    {IMAGES} inputs on 1 and 2 threads  {many_one:>8.2f} {many_two:>7.2f} ms {many_one / many_two:>6.2f} x")
        print(f"    load to first result          {row['first_result_ms']:>8.2f} ms beyond the run")
        print(
            f"    a steady run allocates        {row['native_allocations']} times in C++, {row['python_bytes']} bytes in Python"
        )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
