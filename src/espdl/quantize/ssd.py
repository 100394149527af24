"""Neighbouring layers balanced where that lowers what their quantization loses (quantizer spec 8.5, setting ``ssd_equalization``)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dtypes import Arithmetic
from espdl.progress import track
from espdl.quantize.dataloader import Sample
from espdl.quantize.export import ExportOptions, build_record, file_bytes
from espdl.quantize.float_run import FloatRun
from espdl.quantize.passes.neighbours import Neighbours, find_neighbours
from espdl.quantize.passes.tools import Editor, attribute, constant, input_of, sole_consumer
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.quantizer import quantize_graph
from espdl.quantize.scale import Scale
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.snr import IntegerRun
from espdl.quantize.subnetwork import subnetwork
from espdl.quantize.trainings import leave_out_training

SAMPLES = 16
"""Samples that losses are measured on; they are kept in memory."""
_LARGEST_FACTOR = 10.0
_LARGEST_RATIO = 2.0


def equalize_by_loss(
    model: ir.Model, platform: TargetPlatform, setting: QuantizationSetting, samples: Sequence[Sample]
) -> list[tuple[str, dict[str, Scale]]]:
    """Multiplies channels of one layer and divides those of the next, so that what the network computes stays.

    Of every pair of layers with only activations and pools in between, the integer run of the pair alone is compared with its float run
    on the pair's own inputs. With k1, k2 the largest weight of a channel in the first and the second layer and a the mean over samples
    of its largest positive activation, at least ``channel_ratio`` of the largest of all, four factors are tried: sqrt(k2 / k1);
    max a / a; max k1 / k1; and the smaller of the last two. The best is taken if it lowers the mean square error below
    ``loss_threshold`` of what it was. This goes on for ``iteration`` rounds, with the pairs whose layers were changed
    in the round before.

    Args:
        model: a prepared network; it is changed.
        platform: what it is quantized for.
        setting: its ``ssd_setting``, and how the pairs are quantized.
        samples: inputs of the network.

    Returns:
        For every change the name of the pair's first layer, and what became of the tensors between them.
    """
    changed: list[tuple[str, dict[str, Scale]]] = []
    for _ in range(setting.ssd_setting.iteration):
        found = [
            _equalize(model, pair, platform, setting, samples) for pair in track(_pairs(model), "Equalising pairs of layers")
        ]
        new = [change for change in found if change is not None]
        if not new:
            break
        changed += new
    return changed


def _pairs(model: ir.Model) -> list[Neighbours]:
    return [group for group in find_neighbours(model) if len(group.above) == len(group.below) == 1]


def _equalize(
    model: ir.Model, pair: Neighbours, platform: TargetPlatform, setting: QuantizationSetting, samples: Sequence[Sample]
) -> tuple[str, dict[str, Scale]] | None:
    """The name of the first layer and the scales of the tensors behind it; None if the pair was not changed."""
    first, second = pair.above[0], pair.below[0]
    options = setting.ssd_setting
    last = sole_consumer(second.outputs[0], "Relu", "Clip") or second
    nodes = [node for node in model.graph if node in {first, second, last, *pair.between}]
    source, result = first.inputs[0], last.outputs[0]
    assert source is not None
    tensors = [value.name or "" for value in (source, second.inputs[0], result) if value is not None]
    floating = FloatRun(model, tensors)
    seen = [floating.run(sample) for sample in samples]
    activation = np.mean([_positive_peaks(found[tensors[1]]) for found in seen], axis=0)

    def loss(factors: NDArray[np.float64] | None) -> float:
        part = subnetwork(model, nodes, [result])
        if factors is not None:
            _scale(part, first.name or "", second.name or "", factors)
        return _loss(part, platform, setting, [{tensors[0]: found[tensors[0]]} for found in seen], [f[tensors[2]] for f in seen])

    basic = loss(None)
    tried = [(loss(factors), factors) for factors in _candidates(first, second, activation, options.channel_ratio)]
    best, chosen = min(tried, key=lambda item: item[0], default=(basic, None))
    if chosen is None or not best < options.loss_threshold * basic:
        return None
    _scale(model, first.name or "", second.name or "", chosen)
    scale = Scale(chosen, np.zeros_like(chosen))
    return first.name or "", {node.outputs[0].name or "": scale for node in (first, *pair.between)}


def _positive_peaks(array: NDArray) -> NDArray[np.float64]:
    """The largest value of every channel, at least 0."""
    return np.maximum(np.moveaxis(array, 1, 0).reshape(array.shape[1], -1).max(axis=1, initial=0.0), 0.0).astype(np.float64)


def _candidates(first: ir.Node, second: ir.Node, activation: NDArray, ratio: float) -> Iterable[NDArray[np.float64]]:
    """Factors of the channels; those of dead channels are 1."""
    k1, k2 = _peaks(_by_channel(first, above=True)), _peaks(_by_channel(second, above=False))
    alive = (k1 > 0) & (k2 > 0)
    if not alive.any():
        return
    k1, k2 = np.where(alive, k1, k1[alive].max()), np.where(alive, k2, k2[alive].max())
    balance = np.clip(np.sqrt(k2 / k1), 1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    kernel = np.clip(k1.max() / k1, 1, _LARGEST_RATIO)
    peak = activation.max(initial=0.0)
    active = np.clip(peak / np.maximum(activation, max(ratio * peak, 1e-30)), 1, _LARGEST_RATIO) if peak > 0 else np.ones_like(k1)
    for factors in (np.where(alive, balance, 1.0), active, kernel, np.minimum(kernel, active)):
        if not np.allclose(factors, 1.0):
            yield factors


def _by_channel(node: ir.Node, above: bool) -> NDArray:
    """The weight with the channels that the pair shares on the first axis."""
    weight = constant(node.inputs[1])
    assert weight is not None
    if node.op_type == "Gemm" and not attribute(node, "transB", 0):
        weight = weight.T
    depthwise = node.op_type == "Conv" and attribute(node, "group", 1) > 1
    return weight if above or depthwise else np.swapaxes(weight, 0, 1)


def _peaks(weight: NDArray) -> NDArray[np.float64]:
    return np.abs(weight.reshape(len(weight), -1)).max(axis=1, initial=0.0).astype(np.float64)


def _scale(model: ir.Model, first: str, second: str, factors: NDArray[np.float64]) -> None:
    nodes = {node.name: node for node in model.graph}
    edit = Editor(model)
    for name, numbers, above in ((first, factors, True), (second, 1 / factors, False)):
        node = nodes[name]
        rows = _by_channel(node, above)
        scaled = rows * numbers.reshape(-1, *[1] * (rows.ndim - 1))
        depthwise = node.op_type == "Conv" and attribute(node, "group", 1) > 1
        if not (above or depthwise):
            scaled = np.swapaxes(scaled, 0, 1)
        if node.op_type == "Gemm" and not attribute(node, "transB", 0):
            scaled = scaled.T
        _replace(node, 1, scaled, edit)
        bias = constant(input_of(node, 2))
        if above and bias is not None:
            _replace(node, 2, np.broadcast_to(bias.reshape(-1), factors.shape) * factors, edit)


def _replace(node: ir.Node, index: int, array: NDArray, edit: Editor) -> None:
    """Gives a node a constant of its own; the old one goes when nobody reads it."""
    old = node.inputs[index]
    node.replace_input_with(index, edit.constant(f"{node.name}_equalized_{index}", array.astype(np.float32)))
    if old is not None and old.name and not old.uses() and not old.is_graph_output():
        edit.graph.initializers.pop(old.name, None)


def _loss(
    part: ir.Model,
    platform: TargetPlatform,
    setting: QuantizationSetting,
    inputs: Sequence[Mapping[str, NDArray]],
    exact: Sequence[NDArray],
) -> float:
    """Mean square error of the integer run of a part of the network."""
    graph = quantize_graph(part, platform, _for_part(setting, part), inputs)
    record, lowered = build_record(graph, ExportOptions())
    run = IntegerRun(file_bytes(record), graph, lowered, Arithmetic.SILICON)
    name = part.graph.outputs[0].name or ""
    return float(np.mean([np.mean((run.run(given)[name] - wanted) ** 2) for given, wanted in zip(inputs, exact, strict=True)]))


def _for_part(setting: QuantizationSetting, part: ir.Model) -> QuantizationSetting:
    """A setting without what it says of nodes elsewhere, and without training."""
    names = {node.name for node in part.graph}
    own = copy.deepcopy(setting)
    leave_out_training(own)
    own.dispatching_table.platforms = {k: v for k, v in own.dispatching_table.platforms.items() if k in names}
    for group in (own.quantize_activation_setting, own.quantize_parameter_setting):
        group.calib_algorithm_per_layer = {k: v for k, v in group.calib_algorithm_per_layer.items() if k in names}
    custom = own.quant_config_modify_setting
    custom.custom_config = {k: v for k, v in custom.custom_config.items() if k in names}
    return own
