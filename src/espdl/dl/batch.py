"""Many runs of a model at the same time: one thread and one arena each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.base import Module
from espdl.dl.series import chunk, count_steps, describe_inputs
from espdl.errors import EspdlError

if TYPE_CHECKING:
    from espdl.dl.model import Model

THREADS = "ESPDL_THREADS"


def default_threads() -> int:
    """Environment variable ``ESPDL_THREADS``, else the number of cores."""
    text = os.environ.get(THREADS, "")
    return int(text) if text.isdigit() and int(text) > 0 else os.cpu_count() or 1


def run_many(model: Model, inputs: Mapping[str, NDArray], threads: int | None = None) -> dict[str, NDArray]:
    """See :meth:`espdl.dl.Model.run_many`."""
    stateful = next((module for module in model.modules if type(module).reset is not Module.reset), None)
    if stateful is not None:
        raise EspdlError(
            "a model with state cannot run on many inputs at once",
            where=f"node {stateful.name!r} ({stateful.op_type})",
            why="each run continues the one before",
            hint="run the inputs one after the other",
        )
    if threads is not None and threads < 1:
        raise EspdlError(f"{threads} threads", hint="give at least 1")
    tensors = model.get_inputs()
    if inputs.keys() != tensors.keys():
        raise EspdlError(f"the inputs given are {', '.join(inputs) or 'none'}, the model's are {describe_inputs(model)}")
    count = count_steps(model, inputs)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    results: dict[str, NDArray[Any]] = {
        name: np.empty((count, *tensor.shape), tensor.dtype.numpy) for name, tensor in model.get_outputs().items()
    }
    team = min(threads or default_threads(), count)
    workers = [model, *model.workers(team - 1)]
    turns = itertools.count()

    def work(worker: Model) -> None:
        outputs = [(results[name], tensor) for name, tensor in worker.get_outputs().items()]
        while (turn := next(turns)) < count:
            worker.run({name: chunk(array, shapes[name], turn, count) for name, array in inputs.items()})
            for result, tensor in outputs:
                result[turn] = tensor.data

    if team == 1:
        work(model)
        return results
    with ThreadPoolExecutor(team) as pool:
        for future in [pool.submit(work, worker) for worker in workers]:
            future.result()
    return results
