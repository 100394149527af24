"""What a run costs beside its arithmetic: microseconds per step of a model of many tiny operators, and how ``run_many`` scales.

Times are the best of several repeats.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from espdl.dl import Model
from espdl.dl.base import get_kernels, missing_native_notice
from espdl.dtypes import DType
from espdl.fbs import records, wrap_model, write_model
from espdl.rounding import Rounding

STEPS = 200


def best(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def chain_of_adds(extent: int) -> bytes:
    """``STEPS`` times Add of the input to what came before, int8 [1, extent]."""
    names = ["x", *(f"t{i}" for i in range(STEPS))]
    values = [records.ValueInfo(name, DType.INT8, (1, extent), (-4,)) for name in names]
    nodes = [records.Node("Add", f"/{b}", [a, "x"], [b], [records.Attribute("quant_type", "S8")]) for a, b in pairwise(names)]
    graph = records.Graph("adds", nodes, [], [values[0]], [values[-1]], values)
    return wrap_model(write_model(records.Model(graph)))


def copies(backend: str, size: int, repeats: int) -> dict[str, float]:
    """Gigabytes of output a second of some steps on int8 tensors of that many bytes."""
    kernels, rng = get_kernels(backend), np.random.default_rng(0)
    x, y = (rng.integers(-128, 128, (1, 56, 56, size // 56**2)).astype(np.int8) for _ in range(2))
    out, both = np.empty_like(x), np.empty((*x.shape[:-1], 2 * x.shape[-1]), np.int8)
    table, channels = rng.integers(-128, 128, 256).astype(np.int8), x.shape[-1]
    steps = {
        "add": (kernels.sum_step(x, y, out), out),
        "mul": (kernels.product_step(x, y, out, 7, Rounding.HALF_EVEN), out),
        "lookup": (kernels.lookup_step(table, x, out, Rounding.HALF_EVEN), out),
        "concat": (kernels.move_step([(both[..., :channels], x), (both[..., channels:], y)]), both),
        "transpose": (kernels.move_step([(out.reshape(1, channels, 56, 56), x.transpose(0, 3, 1, 2))]), out),
    }
    return {name: target.nbytes / best(step, repeats) / 1e9 for name, (step, target) in steps.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--repeats", type=int, default=50)
    arguments = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for backend in ["numpy"] + ([] if missing_native_notice() else ["native"]):
        model = Model(chain_of_adds(16), target="c", backend=backend)
        run = best(model.run, arguments.repeats)
        each = best(lambda model=model: model.run(stages=2, stage=0) or model.run(stages=2, stage=1), arguments.repeats)
        figures[backend] = {"us_per_step": run / STEPS * 1e6, "us_per_step_one_by_one": each / STEPS * 1e6}
        figures[backend] |= {f"{name}_GB_per_s": rate for name, rate in copies(backend, 56 * 56 * 64, arguments.repeats).items()}
        heavy = Model(chain_of_adds(1 << 16), target="c", backend=backend)
        batch = {"x": np.ones((64, 1, 1 << 16), np.int8)}
        one, two = (best(partial(heavy.run_many, batch, threads), 3) for threads in (1, 2))
        figures[backend]["run_many_2_threads_speed_up"] = one / two
    names = list(next(iter(figures.values())))
    print(f"{'':<28}" + "".join(f"{backend:>12}" for backend in figures))
    for name in names:
        print(f"{name:<28}" + "".join(f"{values[name]:>12.2f}" for values in figures.values()))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
