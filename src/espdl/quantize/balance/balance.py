"""Scales channels between layers so that integers represent weights and activations with less noise."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.quantize.balance.factors import NEGLIGIBLE, Demands, choose_factors
from espdl.quantize.balance.groups import Group, find_groups
from espdl.quantize.balance.layers import Layer, Vector
from espdl.quantize.balance.moments import measure, per_channel, sensitivities
from espdl.quantize.passes.tools import Editor

SWEEPS = 4
SMALLEST_SHARE = 1 / 64
"""Channels whose activations stay below this share of the group's largest are scaled as if they reached it: they may on other data."""

UNSEEN = 6.0
"""Channels are given room for larger values than the n elements that were seen: the share ``UNSEEN / sqrt(n)`` more. Without it networks
with few elements per channel lose up to 10 dB on other data than those of the calibration."""

ROUNDED_TOGETHER = 0.3
"""What is left of the noise of weights with one exponent when biases are corrected and weights rounded together, about."""


@dataclass(frozen=True)
class Balanced:
    """What was done.

    Attributes:
        model: the network with scaled channels.
        places: number of groups of tensors that were scaled.
        meeting: names of tensors that were scaled alike because they are added up: they are to have one exponent.
    """

    model: ir.Model
    places: int = 0
    meeting: tuple[tuple[str, ...], ...] = ()


def balance_channels(
    model: ir.Model, chip: Chip, bits: int, samples: Iterable[Mapping[str, NDArray]], untouched: Collection[str] = ()
) -> Balanced:
    """Scales output channels of layers, and input channels of the layers behind them by the inverse.

    Every tensor gets factors of least expected noise: that of its own rounding, of the weights that write it and of the weights that
    read it, each counted by what it does to the network's outputs (:class:`espdl.quantize.balance.factors.Demands`). Neighbours depend on
    each other, so the tensors are gone through several times.

    A tensor clipped from 0 to b (Relu6) stays exact: channels that reach b share one factor, which maps b to the largest integer, and
    channels that do not are scaled by no more than lets the largest value seen reach it. The clip then cuts off what integers cannot
    hold anyway.

    Args:
        model: a prepared network; it is not changed.
        chip: whether its weights have one exponent per channel, and the width of its biases count.
        bits: of weights and activations.
        samples: a few of the calibration data.
        untouched: names of nodes that must keep what they read and write.

    Returns:
        A network that computes the same, up to float rounding, on activations of the size seen.
    """
    balanced = model.clone()
    groups, layers = find_groups(balanced, untouched)
    if not groups:
        return Balanced(model)
    work = _Work(balanced, chip, bits, groups, layers, samples)
    scaled = work.run()
    meeting = tuple(tuple(group.tensors) for group in scaled if len(group.writers) > 1)
    return Balanced(balanced, len(scaled), meeting) if scaled else Balanced(model)


class _Work:
    def __init__(
        self,
        model: ir.Model,
        chip: Chip,
        bits: int,
        groups: list[Group],
        layers: list[Layer],
        samples: Iterable[Mapping[str, NDArray]],
    ) -> None:
        self.model = model
        self.groups = groups
        self.layers = layers
        self.per_channel = chip.per_channel_weights
        self.top = float(2 ** (bits - 1) - 1)
        self.largest_bias = float(2 ** (chip.export_bias_bits(bits) - 1) - 1)
        names = {name for group in groups for name in group.tensors} | {layer.source for layer in layers}
        self.moments = measure(model, sorted(names), samples)
        self.noise = sensitivities(model)
        self.behind = {id(layer): self._spread(self.noise.get(layer.result, 1.0), len(layer.weight)) for layer in layers}
        self.largest: dict[int, Vector] = {}
        self.reached: dict[int, NDArray[np.bool_]] = {}

    def run(self) -> list[Group]:
        if not self.moments:
            return []
        for group in self.groups:
            largest = np.max([per_channel(self.moments[n].largest, group.channels, True) for n in group.tensors], axis=0)
            if group.bound is not None:
                self.reached[id(group)] = largest >= group.bound * (1 - 1e-5)
            else:
                self.reached[id(group)] = np.zeros(group.channels, bool)
            seen = max(self.moments[n].seen for n in group.tensors)
            largest = largest * (1 + UNSEEN / math.sqrt(seen))
            if group.bound is not None:
                largest = np.minimum(largest, group.bound)
            self.largest[id(group)] = np.maximum(largest, max(largest.max() * SMALLEST_SHARE, 1e-9))
        scaled: set[int] = set()
        for _ in range(SWEEPS):
            for group in self.groups:
                factors = choose_factors(self._demands(group))
                if factors is not None:
                    self._scale(group, factors)
                    scaled.add(id(group))
        for layer in self.layers:
            layer.write_back()
        edit = Editor(self.model)
        for group in self.groups:
            for node in group.clips if id(group) in scaled else ():
                node.replace_input_with(2, edit.constant(f"{node.name}_high", np.array(group.bound, np.float32)))
        return [group for group in self.groups if id(group) in scaled]

    def _demands(self, group: Group) -> Demands:
        n = group.channels
        sensitivity = self._spread(self.noise.get(group.writers[0].result, 1.0), n)
        return Demands(
            top=self.top,
            largest=self.largest[id(group)],
            bound=group.bound,
            reached=self.reached[id(group)],
            activation=sensitivity * len(group.tensors) / 12,
            writers=np.stack([sensitivity * self._writer_noise(layer, n) for layer in group.writers]),
            readers=np.stack([self._reader_noise(layer, n) for layer in group.readers]),
            writer_largest=np.stack([self._writer_largest(layer) for layer in group.writers]),
            writer_bias=np.stack([self._writer_bias(layer, n) for layer in group.writers]),
            reader_largest=np.stack([self._reader_largest(layer, n) for layer in group.readers]),
        )

    def _writer_noise(self, layer: Layer, channels: int) -> Vector:
        """Noise of a result per squared step of its weights: a twelfth of the mean squares that they are multiplied by."""
        if self.per_channel:
            return np.zeros(channels)
        square = self.moments[layer.source].square
        if layer.depthwise:
            return square * (layer.taps * ROUNDED_TOGETHER / 12)
        inputs = per_channel(square, layer.weight.shape[1], False)
        return np.full(channels, inputs.sum() * layer.taps * ROUNDED_TOGETHER / 12)

    def _reader_noise(self, layer: Layer, channels: int) -> Vector:
        square = per_channel(self.moments[layer.source].square, channels, False) * (layer.taps / 12)
        behind = self.behind[id(layer)]
        if not self.per_channel:
            return square * ROUNDED_TOGETHER * (behind if layer.depthwise else behind.sum())
        if layer.depthwise:
            return np.zeros(channels)
        # Rows with exponents of their own are compared by their largest weights.
        return square * float(np.sum(behind * np.maximum(layer.largest_by_output(), NEGLIGIBLE) ** 2))

    def _writer_largest(self, layer: Layer) -> Vector:
        return np.zeros(len(layer.weight)) if self.per_channel else np.maximum(layer.largest_by_output(), NEGLIGIBLE)

    def _writer_bias(self, layer: Layer, channels: int) -> Vector:
        if layer.bias is None:
            return np.zeros(channels)
        step = 2.0 ** math.ceil(math.log2(max(float(self.moments[layer.source].largest.max()), 1e-9) / (self.top + 0.5)))
        return np.abs(layer.bias) / (self.largest_bias * step)

    def _reader_largest(self, layer: Layer, channels: int) -> Vector:
        if not self.per_channel:
            return np.maximum(layer.largest_by_input(), NEGLIGIBLE)
        if layer.depthwise:
            return np.full(channels, NEGLIGIBLE)
        return np.maximum(layer.largest_by_input(1 / np.maximum(layer.largest_by_output(), NEGLIGIBLE)), NEGLIGIBLE)

    def _scale(self, group: Group, factors: Vector) -> None:
        for layer in group.writers:
            layer.scale_outputs(factors)
            self.behind[id(layer)] /= factors**2
            self.noise[layer.result] = self._spread(self.noise.get(layer.result, 1.0), len(factors)) / factors**2
        for layer in group.readers:
            layer.scale_inputs(1 / factors)
        for name in {*group.tensors, *(layer.source for layer in group.readers)}:
            self.moments[name] = self.moments[name].scaled(factors)
        self.largest[id(group)] = self.largest[id(group)] * factors
        if group.bound is not None:
            group.bound = self.top

    @staticmethod
    def _spread(value: Vector | float, channels: int) -> Vector:
        return np.array(np.broadcast_to(value, (channels,)), dtype=np.float64)
