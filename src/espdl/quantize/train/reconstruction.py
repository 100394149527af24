"""Block-wise reconstruction: the rounding of a block's weights learned by the block's outputs (quantizer spec 8.10)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import torch

from espdl.quantize.setting_training import BlockwiseReconstructionSetting
from espdl.quantize.train.adaround import SoftRounding, annealed_beta, regulariser
from espdl.quantize.train.blocks import Block
from espdl.quantize.train.executor import QuantExecutor, Read, Step
from espdl.quantize.train.learning import Learnable
from espdl.quantize.train.loop import BlockReport, Data, LoopOptions, train_block
from espdl.quantize.train.optimizer import Learns, Trained
from espdl.quantize.train.places import Place, Scale

REGULARISER = 100.0
"""Of ``gamma`` 1: weight of the regulariser's mean over all weights, where the block's error before training is 1."""


class Reconstruction:
    """Trains blocks.

    Args:
        executor: of the network; its parameters, and scales if they are to be trained, are changed.
        setting: how.
        fixed: groups of representations, by the identity of their roots, that keep their scale.
    """

    def __init__(self, executor: QuantExecutor, setting: BlockwiseReconstructionSetting, fixed: Collection[int] = ()) -> None:
        self._executor = executor
        self._setting = setting
        self._learnable = Learnable(executor, fixed)

    def train(self, block: Block, data: Data, tick: Callable[[], None], steps: int) -> BlockReport:
        """Trains one block; see :func:`espdl.quantize.train.loop.train_block`. Weights that it changes are then integers of their scale."""
        setting, executor = self._setting, self._executor
        before = data.held_loss()
        rounded = self._rounded(block)
        if not rounded or before == 0.0:
            return BlockReport(block.name, before, before, 0, False)
        scales = self._scales(block, rounded)
        soft = {read.name: self._soft(step, read, place) for step, read, place in rounded}
        rate = setting.lr + setting.rounding_reach / steps
        trained: list[Learns] = [Trained(rounding.v, rate) for rounding in soft.values()]
        trained += self._biases(block, soft, steps)
        trained += [Trained(scale.log2, setting.scale_lr) for scale in scales]
        count = sum(rounding.v.numel() for rounding in soft.values())

        def penalty(step: int) -> torch.Tensor | None:
            beta = annealed_beta(step, steps)
            if beta is None or not setting.gamma:
                return None
            total = torch.stack([regulariser(rounding.h, beta) for rounding in soft.values()]).sum()
            return total * (setting.gamma * REGULARISER / count)

        options = LoopOptions(steps, setting.batch_size, setting.seed, decay=False)
        executor.substitutes.update(soft)
        try:
            report = train_block(
                _Relative(data, before),
                block.name,
                trained,
                options,
                penalty=penalty,
                project=lambda: self._learnable.project(block, scales),
                tick=tick,
            )
        finally:
            for name in soft:
                del executor.substitutes[name]
        if report.is_kept:
            for name, rounding in soft.items():
                executor.parameters[name].copy_(rounding.hard())
        return report

    def _rounded(self, block: Block) -> list[tuple[Step, Read, Place]]:
        """Constants that are rounded in one way wherever they are read, but for biases, whose integers are fine enough."""
        places: dict[str, list[Place]] = {}
        for step in block.steps:
            for read in step.reads:
                if read is not None and isinstance(read.place, Place):
                    places.setdefault(read.name, []).append(read.place)
        found = [(step, read, read.place) for step, read in self._learnable.constants(block) if isinstance(read.place, Place)]
        return [it for it in found if all(it[2].same_integers(other) for other in places[it[1].name])]

    def _soft(self, step: Step, read: Read, place: Place) -> SoftRounding:
        executor, unit = self._executor, self._learnable.unit(step, read)
        assert unit is not None, "a constant that is rounded has a scale"
        weight, original = executor.parameters[read.name], executor.constants[read.name]
        return SoftRounding.of(weight, original, unit, place.grid, self._setting.firmness)

    def _biases(self, block: Block, soft: Collection[str], steps: int) -> list[Learns]:
        """The other constants, which make up for what rounding does to means; they move by steps of their result's integers."""
        reach = self._setting.bias_reach
        if not reach:
            return []
        others = [(step, read) for step, read in self._learnable.constants(block) if read.name not in soft]
        rates = [(read, self._learnable.learning_rate(step, read, 0.0, reach, steps)) for step, read in others]
        return [Trained(self._executor.parameters[read.name], rate) for read, rate in rates]

    def _scales(self, block: Block, rounded: Sequence[tuple[Step, Read, Place]]) -> list[Scale]:
        """Scales of activations, if they are to be trained: those of weights are what these are rounded by."""
        if not self._setting.is_scale_trainable:
            return []
        weights = {id(place.scale) for _, _, place in rounded}
        return [scale for scale in self._learnable.scales(block) if id(scale) not in weights]


class _Relative:
    """Data whose loss is told in units of what it was, so that the regulariser weighs the same in every block."""

    def __init__(self, data: Data, unit: float) -> None:
        self._data, self._unit = data, unit
        self.learned = data.learned

    def loss(self, indices: Sequence[int]) -> torch.Tensor:
        return self._data.loss(indices) / self._unit

    def compared(self, name: str, indices: Sequence[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return self._data.compared(name, indices)

    def held_loss(self) -> float:
        return self._data.held_loss()
