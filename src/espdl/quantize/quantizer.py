"""From a prepared float network and samples to a graph whose every tensor has exponents: the steps in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import onnx_ir as ir

from espdl.quantize.align import align_representations
from espdl.quantize.assign import assign
from espdl.quantize.balance import Balanced, balance_channels
from espdl.quantize.bias_correction import BiasCorrection
from espdl.quantize.calibrate import calibrate
from espdl.quantize.dataloader import Sample
from espdl.quantize.graph import QuantGraph
from espdl.quantize.headroom import avoid_overflow, ensure_headroom
from espdl.quantize.modify import modify_exponents
from espdl.quantize.parameters import calibrate_parameters, set_bias_exponents
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.setting_check import check_layer_names
from espdl.quantize.share import share_representations
from espdl.quantize.weight_rounding import WeightRounding
from espdl.wording import counted


def quantize_graph(
    model: ir.Model, platform: TargetPlatform, setting: QuantizationSetting, samples: Iterable[Sample], total: int | None = None
) -> QuantGraph:
    """Quantizes a prepared network.

    Args:
        model: of :func:`espdl.quantize.pipeline.prepare`; it is not changed.
        platform: chip and widths.
        setting: algorithms, alignment and exceptions; checked before.
        samples: calibration data, one array of the network's shape per input, by name.
        total: number of samples, for the progress bar.

    Raises:
        EspdlError: naming the node, tensor or sample concerned.
    """
    samples, balanced = _balanced(model, platform, setting, samples)
    graph = assign(balanced.model, platform, setting)
    if balanced.places:
        graph.reference = model
        graph.measures.append(f"channels balanced between layers, in {counted(balanced.places, 'place')}")
    share_representations(graph)
    align_representations(graph, setting.fusion_setting)
    calibrate_parameters(graph)
    correction = BiasCorrection(graph, _corrected_layers(graph, setting)) if setting.bias_correct else None
    rounding = WeightRounding(graph, setting.weight_rounding_setting.inputs) if setting.weight_rounding else None
    if any(True for _ in graph.infos()):
        calibrate(graph, samples, total, [listener for listener in (correction, rounding) if listener is not None])
    _unite_exponents(graph, balanced)
    if setting.quant_config_modify:
        modify_exponents(graph, setting.quant_config_modify_setting.custom_config)
    ensure_headroom(graph)
    avoid_overflow(graph)
    set_bias_exponents(graph)
    if rounding is not None and (count := rounding.apply()):
        graph.measures.append(f"weights of {counted(count, 'layer')} rounded together")
    if correction is not None and (count := correction.apply()):
        graph.measures.append(f"biases of {counted(count, 'layer')} corrected for the mean error of rounded weights")
    return graph


def _balanced(
    model: ir.Model, platform: TargetPlatform, setting: QuantizationSetting, samples: Iterable[Sample]
) -> tuple[Iterable[Sample], Balanced]:
    """All samples, and the network with its channels balanced for 8 bits if the setting asks for it.

    What a user sends elsewhere or sets by hand keeps its scale.
    """
    if not setting.channel_balancing or platform.activation_bits != 8:
        return samples, Balanced(model)
    untouched = set(setting.dispatching_table.platforms)
    if setting.quant_config_modify:
        untouched |= set(setting.quant_config_modify_setting.custom_config)
    waiting = iter(samples)
    first = list(islice(waiting, setting.channel_balancing_setting.samples))
    balanced = balance_channels(model, platform.chip, 8, first, untouched, _chooses_by_error(setting))
    return chain(_handed_over(first), waiting), balanced


def _chooses_by_error(setting: QuantizationSetting) -> bool:
    """Whether exponents follow what errors do: shifted tensors have their zeros at the end of the integers, where others may clip."""
    activations = setting.quantize_activation_setting
    algorithms = (activations.calib_algorithm, *activations.calib_algorithm_per_layer.values())
    return all((algorithm or "").lower() == "output" for algorithm in algorithms)


def _handed_over(samples: list[Sample]) -> Iterator[Sample]:
    """The samples, none of which is kept."""
    samples.reverse()
    while samples:
        yield samples.pop()


def _unite_exponents(graph: QuantGraph, balanced: Balanced) -> None:
    """Gives tensors that are added up, and were scaled for it, the largest of their exponents.

    Of different exponents, one would be rounded a second time, by a shift of one bit that chips which round half up
    make too large by a quarter of a step in the mean.
    """
    for names in balanced.meeting:
        infos = [info for name in names if (info := graph.produced.get(name)) is not None and info.has_exponents]
        for info in infos:
            info.set_exponents((max(other.exponent for other in infos),))


def _corrected_layers(graph: QuantGraph, setting: QuantizationSetting) -> list[str]:
    layers = list(setting.bias_correct_setting.interested_layers)
    check_layer_names(layers, [node.name or "" for node in graph.nodes()], "bias_correct_setting.interested_layers")
    return layers
