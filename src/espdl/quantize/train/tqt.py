"""TQT: thresholds and weights trained together, one block after the other (guide 3.10, quantizer spec 8.9).

Jain, Gural, Wu and Dick, "Trained Quantization Thresholds for Accurate and Efficient Fixed-Point Inference of Deep Neural Networks"
(MLSys 2020): the logarithm of a scale learns by the straight-through gradient of rounding, so that range is weighed against precision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import torch

from espdl.dl.module.contract import Quantization
from espdl.quantize.assign import module_of
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.parameters import set_bias_exponents
from espdl.quantize.setting import TQTSetting
from espdl.quantize.tables import LoweringOptions
from espdl.quantize.train.blocks import Block, build_blocks
from espdl.quantize.train.executor import QuantExecutor, Read, Step, find_device
from espdl.quantize.train.loop import BlockReport, Data, LoopOptions, train_block
from espdl.quantize.train.optimizer import Trained
from espdl.quantize.train.places import BiasPlace, Place, Scale
from espdl.quantize.train.run import TrainReport, train_network
from espdl.quantize.train.samples import SampleStore
from espdl.wording import counted

FARTHEST = 60.0
"""Exponents go no further than that from 0: scales stay numbers of float32, and so do the products of two."""


class TQT:
    """Trains blocks.

    Args:
        executor: of the network; its parameters and scales are changed.
        setting: how.
        fixed: groups of representations, by the identity of their roots, that keep their scale.
    """

    def __init__(self, executor: QuantExecutor, setting: TQTSetting, fixed: Collection[int] = ()) -> None:
        self._executor = executor
        self._setting = setting
        self._fixed = set(fixed)
        self._steps_of: dict[str, set[int]] = {}
        for step in executor.steps:
            for read in step.reads:
                if read is not None and read.is_constant:
                    self._steps_of.setdefault(read.name, set()).add(id(step))

    @property
    def steps(self) -> int:
        """Updates per block."""
        return self._setting.steps

    @property
    def whole_steps(self) -> int:
        """Updates of the whole network, behind that."""
        return self._setting.whole_steps

    def train(self, block: Block, data: Data, tick: Callable[[], None], steps: int) -> BlockReport:
        """Trains one block; see :func:`espdl.quantize.train.loop.train_block`."""
        setting = self._setting
        weights = self._weights(block, steps)
        scales = self._scales(block) if setting.is_scale_trainable else []
        trained = [Trained(self._executor.parameters[read.name], lr) for read, lr in weights]
        trained += [Trained(scale.log2, setting.scale_lr) for scale in scales]
        options = LoopOptions(steps, setting.batch_size, setting.seed, setting.patience)

        def penalty(step: int) -> torch.Tensor | None:
            return self._penalty([read for read, _ in weights], scales)

        return train_block(
            data, block.name, trained, options, penalty=penalty, project=lambda: self._project(block, scales), tick=tick
        )

    # What learns

    def _weights(self, block: Block, steps: int) -> list[tuple[Read, float | torch.Tensor]]:
        """Weights, biases and other numbers that only this block reads, and their learning rates."""
        own = {id(step) for step in block.steps}
        found: dict[str, tuple[Read, float | torch.Tensor]] = {}
        for step in block.steps:
            rules = module_of(step.node).quantization
            for index, read in enumerate(step.reads):
                if read is None or not read.is_constant or read.place is None or read.name in found:
                    continue
                if index in rules.inputs_like_first or not self._steps_of[read.name] <= own:
                    continue
                found[read.name] = read, self._learning_rate(step, read, rules, steps)
        return list(found.values())

    def _learning_rate(self, step: Step, read: Read, rules: Quantization, steps: int) -> float | torch.Tensor:
        """``lr``, and as much as lets a number move by ``weight_reach`` steps of its integers; for a bias those of the result."""
        setting, place = self._setting, read.place
        scale = place.scale if isinstance(place, Place) else None
        if isinstance(place, BiasPlace):
            written = step.writes[0][1] or _place_behind(step, self._executor)
            scale = written.scale if written is not None else None
        if scale is None or not setting.weight_reach:
            return setting.lr
        unit = torch.exp2(torch.round(scale.log2.detach()))
        rate = setting.lr + 2 * setting.weight_reach / steps * unit
        if rate.ndim == 0 or not isinstance(place, Place):
            return float(rate.max()) if rate.ndim else float(rate)
        shape = [1] * self._executor.parameters[read.name].ndim
        shape[place.grid.axis] = -1
        return rate.reshape(shape)

    def _scales(self, block: Block) -> list[Scale]:
        """Scales that this block alone decides: no tensor from before it, and no other layer's constant, has them."""
        executor, graph = self._executor, self._executor.graph
        own = {id(step) for step in block.steps}
        written = {name for step in block.steps for name, _ in step.writes}
        outside = {id(info.root) for name, info in graph.produced.items() if name not in written}
        found: dict[int, Scale] = {}
        for step in executor.steps:
            for index, _ in enumerate(step.reads):
                info = graph.input_info(step.node, index)
                if info is None:
                    continue
                if id(step) not in own and info.role is not Role.ACTIVATION:
                    outside.add(id(info.root))
                elif id(step) in own and info.role is not Role.BIAS:
                    found[id(info.root)] = executor.scales.of(info)
        for name in written:
            info = graph.produced.get(name)
            if info is not None:
                found[id(info.root)] = executor.scales.of(info)
        gates = {id(info.root) for info in graph.gates.values()}
        return [s for key, s in found.items() if key not in outside | gates | self._fixed and not s.root.own]

    # Beside the error of the outputs

    def _penalty(self, reads: Iterable[Read], scales: Sequence[Scale]) -> torch.Tensor | None:
        """``int_lambda`` times the mean square distance of each logarithm from its integer, ``gamma`` times the error of weights."""
        setting, terms = self._setting, []
        if setting.int_lambda:
            terms += [setting.int_lambda * (scale.log2 - torch.round(scale.log2.detach())).square().mean() for scale in scales]
        if setting.gamma:
            for read in reads:
                if isinstance(read.place, Place):
                    weight = self._executor.parameters[read.name]
                    terms.append(setting.gamma * torch.nn.functional.mse_loss(read.place(weight), weight.detach()))
        return sum(terms[1:], terms[0]) if terms else None

    @torch.no_grad()
    def _project(self, block: Block, scales: Sequence[Scale]) -> None:
        """Products are shifted right only: a result's exponent is at least the sum of those of input and weight (runtime spec 3.2)."""
        learning = {id(scale) for scale in scales}
        if not learning:
            return
        for scale in scales:
            scale.log2.clamp_(-FARTHEST, FARTHEST)
        graph, of = self._executor.graph, self._executor.scales.of
        for step in block.steps:
            rules = module_of(step.node).quantization
            infos = [graph.input_info(step.node, 0), graph.input_info(step.node, 1), graph.output_info(step.node.outputs[0])]
            if rules.largest_exponent is not None and infos[0] is not None and infos[0].bits == 8:
                _limit(of(infos[0]), learning, rules.largest_exponent)
            if not (rules.computing or rules.multiplies) or any(info is None for info in infos):
                continue
            source, other, result = (of(info) for info in infos if info is not None)
            lowest = max(source.exponents) + max(other.exponents)
            if min(result.exponents) >= lowest:
                continue
            if id(result) in learning:
                result.log2.clamp_(min=lowest)
            else:
                _limit(other, learning, min(result.exponents) - max(source.exponents))
                _limit(source, learning, min(result.exponents) - max(other.exponents))


def _limit(scale: Scale, learning: Collection[int], highest: int) -> None:
    if id(scale) in learning:
        scale.log2.clamp_(max=highest)


def _place_behind(step: Step, executor: QuantExecutor) -> Place | None:
    info: QuantInfo | None = executor.graph.output_info(step.node.outputs[0])
    return None if info is None else executor.scales.place(info)


def optimize(
    graph: QuantGraph,
    setting: TQTSetting,
    samples: SampleStore,
    device: str = "cpu",
    fixed: Collection[int] = (),
    lowering: LoweringOptions | None = None,
) -> TrainReport:
    """Trains a graph by TQT and puts the result into it, with a sentence about it into ``graph.measures``.

    Args:
        graph: whose every representation, but for biases, has exponents.
        setting: how.
        samples: calibration data.
        device: where it runs.
        fixed: see :class:`TQT`.
        lowering: with which the file is to be made.
    """
    set_bias_exponents(graph)
    executor = QuantExecutor(graph, device, lowering=lowering)
    collecting = executor.device if setting.collecting_device == "executor" else find_device(setting.collecting_device)
    blocks = build_blocks(executor, setting.block_size, setting.interested_layers)
    before = {id(scale): scale.exponents for scale in executor.scales}
    report = train_network(
        executor, blocks, samples, len(samples), TQT(executor, setting, fixed), collecting, setting.holdout, setting.seed
    )
    moved = sum(scale.exponents != before[id(scale)] for scale in executor.scales if id(scale) in before)
    executor.write_back()
    set_bias_exponents(graph)
    kept = sum(block.is_kept for block in report.blocks)
    if report.is_kept:
        graph.measures.append(
            f"TQT: {kept} of {counted(len(report.blocks), 'block')} trained, {counted(moved, 'exponent')} moved,"
            f" mean squared error of the outputs {report.before:.3g} -> {report.after:.3g}"
        )
        graph.measures += [f"  {block.name}: {block.before:.3g} -> {block.after:.3g}" for block in report.blocks if block.is_kept]
    else:
        graph.warnings.append("TQT made nothing better: weights and exponents are as they were")
    if report.was_interrupted:
        graph.warnings.append(
            f"TQT was interrupted after {counted(len(report.blocks), 'block')}: what was learned until then is kept"
        )
    return report
