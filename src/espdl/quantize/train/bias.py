"""Biases corrected block by block, by the means of the rounded network itself (quantizer spec 8.7)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch

from espdl.quantize.bias_correction import layers_with_bias
from espdl.quantize.setting_training import BiasCorrectSetting
from espdl.quantize.train.blocks import Block
from espdl.quantize.train.executor import QuantExecutor, Step
from espdl.quantize.train.loop import AT_ONCE, BlockReport, Data, keep_best, parts


class BlockBias:
    """Corrects the biases of one block after the other.

    To each bias the difference is added between the mean of its channel in the float network and in the rounded one, which reads what
    the blocks before it, corrected already, put out: beside the rounding of weights, it makes up for what rounding, clipping and tables
    in front of a layer do to its mean. Layers of a block are corrected in order, each behind those before it.

    Args:
        executor: of the network; its parameters are changed.
        setting: which layers, and from how many samples.
        fixed: not needed; no scale is changed.
    """

    def __init__(self, executor: QuantExecutor, setting: BiasCorrectSetting, fixed: Collection[int] = ()) -> None:
        self._executor = executor
        self._setting = setting
        wanted = setting.interested_layers
        self._layers = {node.name for node in layers_with_bias(executor.graph) if not wanted or node.name in wanted}

    def train(self, block: Block, data: Data, tick: Callable[[], None], steps: int) -> BlockReport:
        """Corrects one block; see :func:`espdl.quantize.train.loop.keep_best`. Raises :class:`EspdlError` for a mean that is no number."""
        layers = [step for step in block.steps if step.name in self._layers]
        samples = data.learned[:steps]
        biases = [self._bias(step) for step in layers]

        def change() -> int:
            for step, bias in zip(layers, biases, strict=True):
                bias += self._shift(step, data, samples).reshape(bias.shape)
            return len(samples)

        return keep_best(data, block.name, biases, change)

    def _bias(self, step: Step) -> torch.Tensor:
        read = step.reads[2]
        assert read is not None, "a layer with a bias has three inputs"
        return self._executor.parameters[read.name]

    @torch.no_grad()
    def _shift(self, step: Step, data: Data, samples: Sequence[int]) -> torch.Tensor:
        """Mean of the float network less that of the rounded one, per channel, which is axis 1 of what Conv and Gemm put out."""
        name = step.writes[0][0]
        total = torch.zeros((), dtype=torch.float64, device=self._executor.device)
        for part in parts(samples, AT_ONCE):
            for exact, rounded in data.compared(name, part):
                difference = exact.double() - rounded.double()
                others = [axis for axis in range(difference.ndim) if axis != 1]
                total = total + difference.mean(others) * len(difference)
        return (total / len(samples)).to(self._executor.dtype)
