"""LSQ: step sizes and weights trained together, one block after the other (quantizer spec 8.8).

Esser, McKinstry, Bablani, Appuswamy and Modha, "Learned Step Size Quantization" (ICLR 2020): a step ``s`` learns by the gradient
``q - x / s`` inside of the range and by the integer at its end beyond, times ``g = 1 / sqrt(N * Qp)`` for N numbers that are rounded and
the highest integer Qp. Here steps are powers of two: what learns is ``log2 s``, by ``s ln 2`` times that gradient; networks run with the
nearest power of two at every update, whose rounding is straight through, so there is nothing left to round in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import torch

from espdl.quantize.setting_training import LSQSetting
from espdl.quantize.train.blocks import Block
from espdl.quantize.train.executor import QuantExecutor
from espdl.quantize.train.learning import Learnable
from espdl.quantize.train.loop import BlockReport, Data, LoopOptions, train_block
from espdl.quantize.train.optimizer import Learns, Together, Trained
from espdl.quantize.train.places import Scale


class LSQ:
    """Trains blocks.

    The paper's ``g`` makes the gradients of different steps comparable. All steps of a block therefore share what Adam divides by: a step
    that matters little to the outputs moves little, where by itself it would be moved by noise as far as any other.

    Args:
        executor: of the network; its parameters and scales are changed.
        setting: how.
        fixed: groups of representations, by the identity of their roots, that keep their scale.
    """

    def __init__(self, executor: QuantExecutor, setting: LSQSetting, fixed: Collection[int] = ()) -> None:
        self._executor = executor
        self._setting = setting
        self._learnable = Learnable(executor, fixed)

    def train(self, block: Block, data: Data, tick: Callable[[], None], steps: int) -> BlockReport:
        """Trains one block; see :func:`espdl.quantize.train.loop.train_block`."""
        setting, learnable, parameters = self._setting, self._learnable, self._executor.parameters
        constants = learnable.constants(block)
        scales = learnable.scales(block) if setting.is_scale_trainable else []
        trained: list[Learns] = []
        for step, read in constants:
            rate = learnable.learning_rate(
                step, read, setting.lr, setting.weight_reach, steps, len(data.learned), setting.evidence
            )
            trained.append(Trained(parameters[read.name], rate))
        if scales:
            trained.append(Together([scale.log2 for scale in scales], setting.scale_lr))
        options = LoopOptions(steps, setting.batch_size, setting.seed, setting.patience)

        def penalty(step: int) -> torch.Tensor | None:
            return learnable.rounding_error((read for _, read in constants), setting.gamma)

        with _weighed_by_size(scales):
            return train_block(
                data, block.name, trained, options, penalty=penalty, project=lambda: learnable.project(block, scales), tick=tick
            )


@contextmanager
def _weighed_by_size(scales: Sequence[Scale]) -> Iterator[None]:
    """The gradients of these scales are the paper's meanwhile."""
    try:
        for scale in scales:
            scale.is_weighed = True
        yield
    finally:
        for scale in scales:
            scale.is_weighed = False
