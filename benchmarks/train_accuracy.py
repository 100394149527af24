"""The parts of ``benchmarks/train.py`` that look at answers: of networks with labels, and of the file beside the executor that trained it.

Each part prints nothing and writes its rows as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hard_network import pictures, trained
from quantize_accuracy import inputs_of, top1

from espdl.dtypes import Arithmetic
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.float_run import FloatRun
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.snr import IntegerRun
from espdl.quantize.train.executor import QuantExecutor, Step

SAMPLES = 32
POINTS, SHARE = 0.3, 0.8
"""TQT leaves at most so many points of what float answers right, or recovers this share of what was lost."""
HARD_POINTS = 2.0
OCTAVES = 8.0
AGREEING = 0.999


def setting(preset: str, train: bool, options: dict[str, Any]) -> QuantizationSetting:
    made: QuantizationSetting = getattr(QuantizationSettingFactory, preset)()
    made.tqt_optimization = train
    made.tqt_optimization_setting.update(options)
    return made


def real_answers(model: QuantizedModel, x: Any, arithmetic: Arithmetic = Arithmetic.SILICON) -> Any:
    """[samples, classes] of the integer run."""
    run = IntegerRun(model.data, model.graph, model.lowered, arithmetic)
    (source,) = model.graph.model.graph.inputs
    return np.stack([next(iter(run.run({source.name or "": one[None]}).values())).reshape(-1) for one in x])


def float_answers(model: QuantizedModel, x: Any) -> Any:
    network = model.graph.original
    session = FloatRun(network, [network.graph.outputs[0].name or ""])
    return np.stack([next(iter(session.run({session.inputs[0]: one[None]}).values())).reshape(-1) for one in x])


def gain(row: dict[str, Any]) -> dict[str, Any]:
    """Adds whether TQT recovered enough: never worse than before, and nearly all of what was lost or nearly nothing left."""
    lost, left = row["float"] - row["ptq"], row["float"] - row["tqt"]
    recovered = None if lost <= 0 else 1 - left / lost
    enough = 100 * left <= POINTS + 1e-9 or (recovered is not None and recovered >= SHARE)
    return {**row, "recovered": recovered, "met": row["tqt"] >= row["ptq"] and enough}


def tasks(folder: Path, target: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Float, PTQ and TQT as by default, on every task of a folder (see ``quantize_accuracy.py``); and how far file and executor agree."""
    for task in sorted(path for path in folder.iterdir() if (path / "meta.json").exists()):
        meta = json.loads((task / "meta.json").read_text())
        calibration, x = (inputs_of(task / f"{name}.npz", meta) for name in ("calib", "test"))
        y = np.load(task / "test.npz")["y"]
        samples = [one[None] for one in calibration[:SAMPLES]]
        plain, learned = (
            quantize(task / "model.onnx", samples, target=target, setting=setting("espdl_setting", train, options))
            for train in (False, True)
        )
        row = {
            "name": task.name,
            "float": top1(float_answers(plain, x), y),
            "ptq": top1(real_answers(plain, x), y),
            "tqt": top1(real_answers(learned, x), y),
        }
        yield {**gain(row), "agreement": agreement(learned, x)}


def hard(target: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A network of very unequal channels, quantized without evening them out."""
    learning, calibration, test = pictures(4000, 1), pictures(64, 2), pictures(1000, 3)
    proto = trained(learning, OCTAVES).onnx()
    samples = [one[None] for one in calibration.x]
    plain, learned = (
        quantize(proto, samples, target=target, setting=setting("esp_ppq_setting", train, options)) for train in (False, True)
    )
    row = {
        "name": "unequal channels, ReLU6",
        "float": top1(float_answers(plain, test.x), test.y),
        "ptq": top1(real_answers(plain, test.x), test.y),
        "tqt": top1(real_answers(learned, test.x), test.y),
    }
    met = 100 * (row["float"] - row["tqt"]) <= HARD_POINTS + 1e-9
    yield {**gain(row), "met": met, "agreement": agreement(learned, test.x)}


def agreement(model: QuantizedModel, x: Any) -> dict[str, Any]:
    """Integers of the file's outputs beside those of the network that was trained, over all samples.

    Where a sample differs, each operator is computed by the executor from what the file's run hands it: what differs then is its own.
    """
    executor = QuantExecutor(model.graph, lowering=model.export.lowering)
    run = IntegerRun(model.data, model.graph, model.lowered, Arithmetic.REFERENCE)
    scales = {name: 2.0 ** model.graph.produced[name].exponent for name in _integer_ends(model, executor)}
    values = different = furthest = 0
    causes: Counter[str] = Counter()
    for one in x:
        sample = {executor.inputs[0]: one[None]}
        with torch.no_grad():
            trained_on = dict(zip(scales, executor(sample, list(scales)), strict=True))
        chip = run.run(sample, scales)
        steps = {name: np.rint((trained_on[name].numpy() - chip[name]) / scale).astype(int) for name, scale in scales.items()}
        values += sum(array.size for array in steps.values())
        wrong = sum(int(np.count_nonzero(array)) for array in steps.values())
        different += wrong
        furthest = max([furthest, *(int(np.abs(array).max(initial=0)) for array in steps.values())])
        if wrong:
            causes.update(_own_differences(model, executor, run, sample))
    share = 1 - different / values if values else 1.0
    found = {"values": values, "different": different, "share": share, "furthest": furthest, "causes": dict(causes)}
    return {**found, "met": share >= AGREEING and furthest <= 1}


def _own_differences(model: QuantizedModel, executor: QuantExecutor, run: IntegerRun, sample: dict[str, Any]) -> Counter[str]:
    """Values by operator in which one step alone, on the file's integers, is not the file's."""
    found: Counter[str] = Counter()
    held = [name for step in executor.steps for name, _ in step.writes if name in model.lowered.stored]
    chip = run.run(sample, held)
    known = executor.feed(executor.tensors(sample))
    for step in executor.steps:
        reads = [read.name for read in step.reads if read is not None and not read.is_constant]
        names = [name for name, _ in step.writes]
        with torch.no_grad():
            results = executor.run({name: known[name] for name in reads}, names, [step])
        for name in names:
            known[name] = results[name]
            if name not in chip:
                continue
            wrong = int(np.count_nonzero(results[name].numpy() != chip[name]))
            if wrong:
                found[f"{step.node.op_type}, {_cause(step)}"] += wrong
            known[name] = torch.from_numpy(np.array(chip[name])).to(results[name].dtype)
    return found


def _integer_ends(model: QuantizedModel, executor: QuantExecutor) -> list[str]:
    """The outputs of the network; of one that is float on the chip, the integers that it is computed from."""
    writers = {name: step for step in executor.steps for name, _ in step.writes}
    found: list[str] = []
    waiting = list(executor.outputs)
    while waiting:
        name = waiting.pop(0)
        if name in model.graph.produced and name in model.lowered.stored:
            found.append(name)
        elif name in writers:
            waiting += [read.name for read in writers[name].reads if read is not None and not read.is_constant]
    return list(dict.fromkeys(found))


def _cause(step: Step) -> str:
    """Why a step in PyTorch can be off by one where the chip's is not."""
    if step.inside is not None:
        return "gates of a step in float32"
    return "a table with a step" if step.form is not None else "a sum in float32 at a rounding edge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("section", choices=("tasks", "hard"))
    parser.add_argument("result", type=Path)
    parser.add_argument("--tasks", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--steps", type=int, help="updates per block, in the place of the default")
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    options = {} if arguments.steps is None else {"steps": arguments.steps}
    found = tasks(arguments.tasks, arguments.target, options) if arguments.section == "tasks" else hard(arguments.target, options)
    arguments.result.write_text(json.dumps(list(found)))


if __name__ == "__main__":
    main()
