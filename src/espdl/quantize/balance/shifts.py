"""Shifting tensors so that they fill the integers on both sides of zero; biases make up for it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx_ir as ir

from espdl.chips import Chip
from espdl.dtypes import QuantType
from espdl.quantize.balance.groups import Group
from espdl.quantize.balance.layers import Layer, Vector
from espdl.quantize.balance.moments import Moments, per_channel
from espdl.quantize.balance.widths import Widths
from espdl.quantize.passes.tools import Editor, attribute, constant, sole_consumer

ROOM = 0.5
"""Share of an accumulator that a shift may take up while products are added up."""


class Shift(enum.Enum):
    """How the tensors of a group can be shifted."""

    NONE = "none"
    CENTRE = "centre"  # each channel to the middle of its range, about
    FLOOR = "floor"  # what an activation cuts off at 0 is cut off by the smallest integer


def shift_of(group: Group) -> Shift:
    """How a group can be shifted.

    A constant that is added to a channel goes through pooling without padding and through Add, and the layer that reads the channel
    takes its weights times the constant off its bias: exactly, unless it pads with zeros. A Relu or Clip from 0 may be left to the
    saturation of integers when 0 is their smallest.
    """
    layers = [*group.writers, *group.readers]
    if any(layer.bias is None for layer in layers) or any(_pads(layer.node) for layer in group.readers):
        return Shift.NONE
    activations = [node for node in group.relays if node.op_type in ("Relu", "Clip")]
    others = [node for node in group.relays if node.op_type not in ("Relu", "Clip")]
    if any(node.op_type not in _COMMUTING or _pads(node) for node in others):
        return Shift.NONE
    if not activations:
        return Shift.CENTRE
    behind = [sole_consumer(layer.node.outputs[0], "Relu", "Clip") for layer in group.writers]
    if any(node.op_type == "Add" for node in others) or any(node is None for node in behind):
        return Shift.NONE
    return Shift.FLOOR if {id(node) for node in behind} == {id(node) for node in activations} else Shift.NONE


_COMMUTING = ("Add", "Identity", "Flatten", "GlobalAveragePool", "AveragePool", "MaxPool")


def offsets_of(model: ir.Model, group: Group, results: dict[str, Vector]) -> dict[str, Vector]:
    """What every tensor of the group is shifted by, [channels], from what the ``results`` of its writers are."""
    found = dict(results)
    relays = {id(node) for node in group.relays}
    for node in model.graph:
        if id(node) in relays:
            names = [value.name or "" for value in node.inputs if value is not None and constant(value) is None]
            found[node.outputs[0].name or ""] = np.sum([found[name] for name in names], axis=0)
    return found


def centres(model: ir.Model, group: Group, moments: Mapping[str, Moments]) -> dict[str, Vector]:
    """What the results of a group's writers are best shifted by, [channels]: for the smallest largest magnitude of all tensors.

    A sum is shifted by what its addends are shifted by. So either every result is shifted by its mean, or sums are brought to the middle of
    their range and what is added to them makes up for the rest; whichever is better for a channel.
    """
    by_mean = {layer.result: moments[layer.result].mean for layer in group.writers}
    by_middle = _middles(model, group, moments)
    one, other = (largest_shifted(group, offsets_of(model, group, results), moments) for results in (by_mean, by_middle))
    return {name: np.where(one <= other, by_mean[name], by_middle[name]) for name in by_mean}


def largest_shifted(group: Group, offsets: Mapping[str, Vector], moments: Mapping[str, Moments]) -> Vector:
    """The largest magnitude of each channel, [channels], over all tensors of a group when they are shifted."""
    found = np.zeros(group.channels)
    for name in group.tensors:
        known = moments[name]
        offset = np.repeat(offsets[name], len(known.low) // group.channels)
        size = np.maximum(known.high - offset, offset - known.low)
        found = np.maximum(found, per_channel(size, group.channels, True))
    return found


def _middles(model: ir.Model, group: Group, moments: Mapping[str, Moments]) -> dict[str, Vector]:
    middle = {name: (known.high + known.low) / 2 for name, known in moments.items()}
    relays = {id(node) for node in group.relays}
    found: dict[str, Vector] = {}
    results = {layer.result for layer in group.writers}
    for node in model.graph:
        if id(node) not in relays:
            continue
        names = [value.name or "" for value in node.inputs if value is not None and constant(value) is None]
        output = node.outputs[0].name or ""
        open_ones = [name for name in names if name not in found]
        for name in open_ones[:-1] if node.op_type == "Add" else open_ones:
            found[name] = middle[name]
        if node.op_type == "Add" and open_ones:
            last = open_ones[-1]
            others = [found[name] for name in names if name != last]
            found[last] = (middle[output] - np.sum(others, axis=0)) / (len(names) - len(others))
        found[output] = np.sum([found[name] for name in names], axis=0)
    return {name: found.get(name, middle[name]) for name in results}


def apply_shift(edit: Editor, group: Group, kind: Shift, offsets: dict[str, Vector], lowest: float) -> None:
    """Takes the shift into biases, and puts activations from ``lowest`` to the largest integer in the place of those from 0."""
    for layer in group.writers:
        assert layer.bias is not None
        layer.bias -= offsets[layer.result]
    for layer in group.readers:
        assert layer.bias is not None
        layer.bias += np.concatenate([block.sum(axis=1) for block in absorbed(layer, offsets[layer.source])])
    if kind is Shift.FLOOR:
        for node in [node for node in group.relays if node.op_type in ("Relu", "Clip")]:
            bounds = [
                edit.constant(f"{node.name}_{name}", np.array(value, np.float32))
                for name, value in (("low", lowest), ("high", -lowest - 1))
            ]
            group.clips = [clip for clip in group.clips if clip is not node]
            edit.replace(node, "Clip", [node.inputs[0], *bounds])


def absorbed(layer: Layer, offset: Vector) -> Iterator[Vector]:
    """What each weight adds to its output when its input is larger by ``offset``, some outputs at a time: [some, inputs * taps]."""
    start = 0
    for block in layer.blocks():
        block *= offset[start : start + len(block), None, None] if layer.depthwise else offset[:, None]
        start += len(block)
        yield block.reshape(len(block), -1)


def fits_accumulators(chip: Chip, widths: Widths, group: Group, offsets: dict[str, Vector], steps: dict[str, float]) -> bool:
    """Whether sums stay in the chip's accumulators with a shift: it starts in the bias, and is taken back product by product.

    Args:
        chip, widths: whose accumulators are asked for.
        group: with final weights.
        offsets: of its tensors.
        steps: the step of each tensor that one of the layers reads, in ``widths.bits``.
    """
    for layer in group.writers:
        if (np.abs(offsets[layer.result]) / _product_steps(chip, widths, layer, steps)).max() > _room(chip, widths, layer):
            return False
    for layer in group.readers:
        blocks = absorbed(layer, offsets[layer.source])
        rest = np.concatenate([np.abs(np.cumsum(block[:, ::-1], axis=1)).max(axis=1) for block in blocks])
        if (rest / _product_steps(chip, widths, layer, steps)).max() > _room(chip, widths, layer):
            return False
    return True


def _room(chip: Chip, widths: Widths, layer: Layer) -> float:
    quant_type = QuantType.SYMM_8BIT if widths.of_activations(layer) == 8 else QuantType.SYMM_16BIT
    return float(2.0 ** (chip.macs(quant_type).block.bits - 1) * ROOM)


def _product_steps(chip: Chip, widths: Widths, layer: Layer, steps: dict[str, float]) -> Vector:
    """What 1 in the accumulator of each output channel stands for."""
    largest = np.maximum(layer.largest_by_output(), 1e-30)
    if not chip.per_channel_weights:
        largest = np.full_like(largest, largest.max())
    weights = np.exp2(np.ceil(np.log2(largest / (2 ** (widths.of_weights(layer) - 1) - 0.5))))
    return weights * (steps[layer.source] * widths.finer_activations(layer))


def _pads(node: ir.Node) -> bool:
    pads: Iterable[int] = attribute(node, "pads", ())
    return any(pads) or attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID") or bool(attribute(node, "ceil_mode", 0))
