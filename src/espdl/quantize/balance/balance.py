"""Scales channels between layers so that integers represent weights and activations with less noise."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.quantize.balance.factors import NEGLIGIBLE, Demands, choose_factors
from espdl.quantize.balance.groups import Group, find_groups
from espdl.quantize.balance.layers import Layer, Vector
from espdl.quantize.balance.moments import Moments, per_channel, sensitivities
from espdl.quantize.balance.shifts import Shift, apply_shift, centres, fits_accumulators, largest_shifted, offsets_of, shift_of
from espdl.quantize.balance.widths import Widths
from espdl.quantize.passes.tools import Editor
from espdl.quantize.scale import Scale, Scales

SWEEPS = 5
SETTLED = 0.01
"""Share by which factors change at most without their neighbours being asked again."""

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
        scales: what became of every tensor of these groups, by name.
    """

    model: ir.Model
    places: int = 0
    meeting: tuple[tuple[str, ...], ...] = ()
    scales: Scales = field(default_factory=dict)


def tensors_to_measure(model: ir.Model, untouched: Collection[str] = ()) -> list[str]:
    """Names of the tensors whose moments :func:`balance_channels` needs."""
    groups, layers = find_groups(model, untouched)
    return sorted({name for group in groups for name in group.tensors} | {layer.source for layer in layers}) if groups else []


def balance_channels(
    model: ir.Model,
    chip: Chip,
    widths: Widths,
    moments: Mapping[str, Moments],
    untouched: Collection[str] = (),
    shift: bool = True,
) -> Balanced:
    """Scales output channels of layers, and input channels of the layers behind them by the inverse.

    Every tensor gets factors of least expected noise: that of its own rounding, of the weights that write it and of the weights that
    read it, each counted by what it does to the network's outputs (:class:`espdl.quantize.balance.factors.Demands`). Neighbours depend on
    each other, so the tensors are gone through several times.

    A tensor clipped from 0 to b (Relu6) stays exact: channels that reach b share one factor, which maps b to the largest integer, and
    channels that do not are scaled by no more than lets the largest value seen reach it. The clip then cuts off what integers cannot
    hold anyway.

    Layers of more bits take part: what they read and write is scaled with the tensors that they share factors with, and asks for nothing.

    Args:
        model: a prepared network; it is not changed.
        chip: whether its weights have one exponent per channel, and the width of its biases count.
        widths: of weights and activations.
        moments: of :func:`tensors_to_measure`, on calibration data; nothing is done without any.
        untouched: names of nodes that must keep what they read and write.
        shift: whether tensors may be shifted, too (:mod:`espdl.quantize.balance.shifts`).

    Returns:
        A network that computes the same, up to float rounding, on activations of the size seen.
    """
    if not moments:
        return Balanced(model)
    balanced = model.clone()
    work = _Work(balanced, chip, widths, untouched, moments, sensitivities(model), shift)
    scaled = work.choose()
    if not scaled:
        return Balanced(model)
    work.apply(scaled)
    meeting = tuple(tuple(group.held) for group in scaled if len(group.writers) > 1)
    return Balanced(balanced, len(scaled), meeting, work.scales)


class _Work:
    """The choice of factors for all groups, and what follows from it.

    ``scales`` is what became of the tensors of all groups.
    """

    def __init__(
        self,
        model: ir.Model,
        chip: Chip,
        widths: Widths,
        untouched: Collection[str],
        moments: Mapping[str, Moments],
        noise: dict[str, Vector | float],
        shift: bool,
    ) -> None:
        self.model = model
        self.chip = chip
        self.widths = widths
        groups, self.layers = find_groups(model, untouched)
        self.groups = widths.demanding(model, groups)
        self.per_channel = chip.per_channel_weights
        self.top = float(2 ** (widths.bits - 1) - 1)
        self.moments = dict(moments)
        self.noise = noise
        self.behind = {id(layer): self._spread(self.noise.get(layer.result, 1.0), layer.outputs) for layer in self.layers}
        self.largest: dict[int, Vector] = {}
        self.reached: dict[int, NDArray[np.bool_]] = {}
        self.scales: dict[str, Scale] = {}
        self._seen = moments
        self._factors: dict[int, Vector] = {}
        self._shifts: dict[int, dict[str, Vector]] = {}
        self._results: dict[int, dict[str, Vector]] = {}
        self._kinds = {id(group): self._kind(group) if shift else Shift.NONE for group in self.groups}
        self._group_of = {name: group for group in self.groups for name in group.tensors}

    def choose(self) -> list[Group]:
        """Chooses factors and shifts; returns the groups that have some. The network stays as it is."""
        for group in self.groups:
            self._look_at(group)
        changed = self.groups
        while changed:
            self._settle(changed)
            changed = self._take_back_shifts()
        return [group for group in self.groups if id(group) in self._factors]

    def _settle(self, changed: Iterable[Group]) -> None:
        """Chooses the factors of groups, and again of those whose neighbours have changed since."""
        due = {id(group) for group in changed}
        beside = self._neighbours()
        for _ in range(SWEEPS):
            for group in self.groups:
                if id(group) not in due:
                    continue
                due.remove(id(group))
                factors = choose_factors(self._demands(group))
                if factors is not None and (id(group) not in self._factors or np.abs(factors - 1).max() > SETTLED):
                    self._scale(group, factors)
                    due |= beside[id(group)]

    def _neighbours(self) -> dict[int, set[int]]:
        """The groups that share a layer with each."""
        around: dict[int, set[int]] = {}
        for group in self.groups:
            for layer in (*group.writers, *group.readers):
                around.setdefault(id(layer), set()).add(id(group))
        return {
            id(group): set().union(*(around[id(layer)] for layer in (*group.writers, *group.readers))) - {id(group)}
            for group in self.groups
        }

    def _take_back_shifts(self) -> list[Group]:
        """Chooses the shifts of groups, but none where an accumulator has no room for it: returns those that had one."""
        shifted = [group for group in self.groups if id(group) in self._factors and self._kinds[id(group)] is not Shift.NONE]
        self._shifts = {id(group): self._offsets(group) for group in shifted}
        steps = {layer.source: self._step(layer.source) for group in shifted for layer in (*group.writers, *group.readers)}
        too_wide = [
            group for group in shifted if not fits_accumulators(self.chip, self.widths, group, self._shifts[id(group)], steps)
        ]
        for group in too_wide:
            kind, self._kinds[id(group)] = self._kinds[id(group)], Shift.NONE
            del self._shifts[id(group)]
            if kind is Shift.CENTRE:
                del self._results[id(group)]
                self._look_at(group)
                self.largest[id(group)] *= self._factors[id(group)]
        return too_wide

    def apply(self, scaled: list[Group]) -> None:
        """Puts what was chosen into the network."""
        edit = Editor(self.model)
        for group in scaled:
            offsets = self._shifts.get(id(group), {})
            self.scales |= {name: self._scale_of(group, name, offsets) for name in group.sizes}
            if offsets:
                apply_shift(edit, group, self._kinds[id(group)], offsets, -self.top - 1)
        for layer in self.layers:
            layer.write_back()
        for group in scaled:
            for node in group.clips:
                node.replace_input_with(2, edit.constant(f"{node.name}_high", np.array(group.bound, np.float32)))

    def _scale_of(self, group: Group, name: str, offsets: Mapping[str, Vector]) -> Scale:
        pair = (self._factors[id(group)], offsets.get(name, np.zeros(group.channels)))
        return Scale(*(np.repeat(vector, group.sizes[name] // group.channels) for vector in pair))

    def _look_at(self, group: Group) -> None:
        """Notes how large the channels of a group are, or get, and which reach its bound."""
        if self._kinds[id(group)] is Shift.CENTRE:
            self._results[id(group)] = centres(self.model, group, self._seen)
            largest = largest_shifted(group, self._offsets(group), self._seen)
        else:
            sizes = [per_channel(self._seen[name].largest, group.channels, True) for name in group.tensors]
            largest = np.max(sizes, axis=0)
        self.reached[id(group)] = np.zeros(group.channels, bool)
        if group.bound is not None:
            self.reached[id(group)] = largest >= group.bound * (1 - 1e-5)
        largest = largest * (1 + UNSEEN / math.sqrt(max(self._seen[name].seen for name in group.tensors)))
        if group.bound is not None:
            largest = np.minimum(largest, group.bound)
        self.largest[id(group)] = np.maximum(largest, max(largest.max() * SMALLEST_SHARE, 1e-9))

    def _kind(self, group: Group) -> Shift:
        kind = shift_of(group)
        return Shift.NONE if kind is Shift.FLOOR and self.widths.has_wide_activation(group) else kind

    def _offsets(self, group: Group) -> dict[str, Vector]:
        if self._kinds[id(group)] is Shift.FLOOR:
            return offsets_of(self.model, group, {layer.result: np.full(group.channels, self.top + 1) for layer in group.writers})
        return offsets_of(self.model, group, self._results[id(group)])

    def _span(self, group: Group) -> float:
        return 2 * self.top + 1 if self._kinds[id(group)] is Shift.FLOOR else self.top

    def _step(self, name: str) -> float:
        """The step of a tensor in the narrower width that layers read, about: 1 where it was scaled for that."""
        if (group := self._group_of.get(name)) is not None and id(group) in self._factors:
            return 1.0
        return 2.0 ** math.ceil(math.log2(max(float(self.moments[name].largest.max()), 1e-9) / (self.top + 0.5)))

    def _demands(self, group: Group) -> Demands:
        n = group.channels
        sensitivity = self._spread(self.noise.get(group.writers[0].result, 1.0), n)
        return Demands(
            top=self.top,
            span=self._span(group),
            largest=self.largest[id(group)],
            bound=group.bound,
            reached=self.reached[id(group)],
            activation=sensitivity * len(group.held) / 12,
            writers=np.stack([sensitivity * self._writer_noise(layer, n) for layer in group.writers]),
            readers=np.stack([self._reader_noise(layer, n) for layer in group.readers]),
            writer_largest=np.stack([self._writer_largest(layer) for layer in group.writers]),
            writer_bias=np.stack([self._writer_bias(layer, n) for layer in group.writers]),
            reader_largest=np.stack([self._reader_largest(layer, n) for layer in group.readers]),
        )

    def _writer_noise(self, layer: Layer, channels: int) -> Vector:
        """Noise of a result per squared step of its weights: a twelfth of the mean squares that they are multiplied by.

        Wider weights count as if they had as many bits as the others, and less noise.
        """
        if self.per_channel:
            return np.zeros(channels)
        square = self.moments[layer.source].square * self.widths.finer_weights(layer) ** 2
        if layer.depthwise:
            return square * (layer.taps * ROUNDED_TOGETHER / 12)
        inputs = per_channel(square, layer.shape[1], False)
        return np.full(channels, inputs.sum() * layer.taps * ROUNDED_TOGETHER / 12)

    def _reader_noise(self, layer: Layer, channels: int) -> Vector:
        square = per_channel(self.moments[layer.source].square, channels, False) * (layer.taps / 12)
        square = square * self.widths.finer_weights(layer) ** 2
        behind = self.behind[id(layer)]
        if not self.per_channel:
            return square * ROUNDED_TOGETHER * (behind if layer.depthwise else behind.sum())
        if layer.depthwise:
            return np.zeros(channels)
        # Rows with exponents of their own are compared by their largest weights.
        return square * float(np.sum(behind * np.maximum(layer.largest_by_output(), NEGLIGIBLE) ** 2))

    def _writer_largest(self, layer: Layer) -> Vector:
        return np.zeros(layer.outputs) if self.per_channel else np.maximum(layer.largest_by_output(), NEGLIGIBLE)

    def _writer_bias(self, layer: Layer, channels: int) -> Vector:
        if layer.bias is None:
            return np.zeros(channels)
        largest = float(2 ** (self.chip.export_bias_bits(self.widths.of_activations(layer)) - 1) - 1)
        step = self._step(layer.source) * self.widths.finer_activations(layer) * self.widths.finer_weights(layer)
        return np.abs(layer.bias) / (largest * step)

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
        self._factors[id(group)] = self._factors.get(id(group), 1.0) * factors
        if id(group) in self._results:
            self._results[id(group)] = {name: result * factors for name, result in self._results[id(group)].items()}
        for name in {*group.tensors, *(layer.source for layer in group.readers)}:
            self.moments[name] = self.moments[name].scaled(factors)
        self.largest[id(group)] = self.largest[id(group)] * factors
        if group.bound is not None:
            group.bound = self._span(group)

    @staticmethod
    def _spread(value: Vector | float, channels: int) -> Vector:
        return np.array(np.broadcast_to(value, (channels,)), dtype=np.float64)
