"""One training of a graph, by the method that a setting names: blocks, the executor, and what is told about it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any, TypeAlias

from espdl.quantize.graph import QuantGraph
from espdl.quantize.parameters import set_bias_exponents
from espdl.quantize.setting_training import BlockSetting, TQTSetting
from espdl.quantize.tables import LoweringOptions
from espdl.quantize.train.blocks import build_blocks
from espdl.quantize.train.executor import QuantExecutor, find_device
from espdl.quantize.train.rescale import scale_channels
from espdl.quantize.train.run import Method, TrainReport, train_network
from espdl.quantize.train.samples import SampleStore
from espdl.quantize.trainings import Training
from espdl.wording import counted

MakeMethod: TypeAlias = Callable[[QuantExecutor, Any, Collection[int]], Method]


def optimize(
    graph: QuantGraph,
    training: Training,
    setting: BlockSetting,
    samples: SampleStore,
    device: str = "cpu",
    fixed: Collection[int] = (),
    lowering: LoweringOptions | None = None,
) -> TrainReport:
    """Trains a graph and puts the result into it, with a sentence about it into ``graph.measures``.

    Args:
        graph: whose every representation, but for biases, has exponents.
        training: which.
        setting: how.
        samples: calibration data.
        device: where it runs.
        fixed: groups of representations, by the identity of their roots, that keep their scale.
        lowering: with which the file is to be made.
    """
    set_bias_exponents(graph)
    executor = QuantExecutor(graph, device, lowering=lowering)
    collecting = executor.device if setting.collecting_device == "executor" else find_device(setting.collecting_device)
    tqt = setting if isinstance(setting, TQTSetting) else None
    if tqt and tqt.gain_steps and tqt.is_scale_trainable and not tqt.interested_layers:
        executor = scale_channels(executor, samples, tqt.gain_steps, tqt.holdout, tqt.seed, fixed, lowering)
    blocks = build_blocks(executor, setting.block_size, setting.interested_layers)
    before = {id(scale): scale.exponents for scale in executor.scales}
    make: MakeMethod = getattr(import_module(f"espdl.quantize.train.{training.module}"), training.method)
    method = make(executor, setting, fixed)
    report = train_network(
        executor,
        blocks,
        samples,
        len(samples),
        method,
        setting.steps,
        collecting,
        setting.holdout,
        setting.seed,
        whole_steps=tqt.whole_steps if tqt else 0,
        room=tqt.output_room if tqt and tqt.is_scale_trainable else 0.0,
        fixed=fixed,
    )
    moved = sum(scale.exponents != before[id(scale)] for scale in executor.scales if id(scale) in before)
    executor.write_back()
    set_bias_exponents(graph)
    _tell(graph, training.name, report, moved)
    return report


def _tell(graph: QuantGraph, name: str, report: TrainReport, moved: int) -> None:
    kept = sum(block.is_kept for block in report.blocks)
    if report.is_kept and (kept or (report.whole is not None and report.whole.is_kept)):
        exponents = f", {counted(moved, 'exponent')} moved" if moved else ""
        graph.measures.append(
            f"{name}: {kept} of {counted(len(report.blocks), 'block')} trained{exponents},"
            f" mean squared error of the outputs {report.before:.3g} -> {report.after:.3g}"
        )
        graph.measures += [f"  {block.name}: {block.before:.3g} -> {block.after:.3g}" for block in report.blocks if block.is_kept]
        if report.whole is not None and report.whole.is_kept:
            graph.measures.append(f"  all of it: {report.whole.before:.3g} -> {report.whole.after:.3g}")
    else:
        graph.warnings.append(f"{name} made nothing better: weights and exponents are as they were")
    if report.roomier:
        graph.measures.append(f"{name}: {counted(report.roomier, 'output')} given room for values that calibration did not meet")
    if report.was_interrupted:
        graph.warnings.append(
            f"{name} was interrupted after {counted(len(report.blocks), 'block')}: what was learned until then is kept"
        )
