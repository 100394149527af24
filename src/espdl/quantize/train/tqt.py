"""TQT: thresholds and weights trained together, one block after the other (guide 3.10, quantizer spec 8.9).

Jain, Gural, Wu and Dick, "Trained Quantization Thresholds for Accurate and Efficient Fixed-Point Inference of Deep Neural Networks"
(MLSys 2020): the logarithm of a scale learns by the straight-through gradient of rounding, so that range is weighed against precision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import torch

from espdl.quantize.setting_training import TQTSetting
from espdl.quantize.train.blocks import Block
from espdl.quantize.train.executor import QuantExecutor, Read
from espdl.quantize.train.learning import Learnable
from espdl.quantize.train.loop import BlockReport, Data, LoopOptions, train_block
from espdl.quantize.train.optimizer import Trained
from espdl.quantize.train.places import Scale

WHOLE_BATCH = 8
"""Samples per update of the whole network, at least: gradients that went through all of it are noisy."""


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
        self._learnable = Learnable(executor, fixed)

    def train(self, block: Block, data: Data, tick: Callable[[], None], steps: int) -> BlockReport:
        """Trains one block; see :func:`espdl.quantize.train.loop.train_block`."""
        setting, learnable = self._setting, self._learnable
        constants = learnable.constants(block)
        scales = learnable.scales(block) if setting.is_scale_trainable else []
        trained = []
        for step, read in constants:
            rate = learnable.learning_rate(
                step, read, setting.lr, setting.weight_reach, steps, len(data.learned), setting.evidence
            )
            trained.append(Trained(self._executor.parameters[read.name], rate))
        trained += [Trained(scale.log2, setting.scale_lr) for scale in scales]
        is_whole = len(block.steps) == len(self._executor.steps)
        batch = max(setting.batch_size, WHOLE_BATCH) if is_whole else setting.batch_size
        options = LoopOptions(steps, batch, setting.seed, setting.patience)

        def penalty(step: int) -> torch.Tensor | None:
            return self._penalty([read for _, read in constants], scales)

        return train_block(
            data, block.name, trained, options, penalty=penalty, project=lambda: learnable.project(block, scales), tick=tick
        )

    # Beside the error of the outputs

    def _penalty(self, reads: Iterable[Read], scales: Sequence[Scale]) -> torch.Tensor | None:
        """``int_lambda`` times the mean square distance of each logarithm from its integer, ``gamma`` times the error of weights."""
        setting = self._setting
        terms = [self._learnable.rounding_error(reads, setting.gamma)]
        if setting.int_lambda:
            terms += [setting.int_lambda * (scale.log2 - torch.round(scale.log2.detach())).square().mean() for scale in scales]
        found = [term for term in terms if term is not None]
        return sum(found[1:], found[0]) if found else None
