"""From a prepared float network and samples to a graph whose every tensor has exponents: the steps in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import onnx_ir as ir

from espdl.free_memory import give_back_memory
from espdl.quantize.align import align_representations
from espdl.quantize.assign import assign
from espdl.quantize.balance import Balanced, Widths, balance_channels, tensors_to_measure
from espdl.quantize.bias_correction import BiasCorrection, layers_with_bias
from espdl.quantize.calibrate import Listener, calibrate, calibrate_from, gate_reaches, run_network, set_gates, watched
from espdl.quantize.dataloader import Sample
from espdl.quantize.graph import QuantGraph
from espdl.quantize.headroom import avoid_overflow, ensure_headroom, unite_exponents
from espdl.quantize.kept_samples import KeptSamples
from espdl.quantize.modify import modify_exponents
from espdl.quantize.observers import OBSERVERS
from espdl.quantize.parameters import calibrate_parameters, set_bias_exponents
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.setting_check import check_layer_names, check_layers_fit
from espdl.quantize.share import share_representations
from espdl.quantize.survey import Survey
from espdl.quantize.tables import LoweringOptions
from espdl.quantize.train import SampleStore, train_graph, trains
from espdl.quantize.weight_rounding import WeightRounding
from espdl.wording import counted


def quantize_graph(
    model: ir.Model,
    platform: TargetPlatform,
    setting: QuantizationSetting,
    samples: Iterable[Sample],
    total: int | None = None,
    device: str = "cpu",
    lowering: LoweringOptions | None = None,
) -> QuantGraph:
    """Quantizes a prepared network.

    Args:
        model: of :func:`espdl.quantize.pipeline.prepare`; it is not changed.
        platform: chip and widths.
        setting: algorithms, alignment and exceptions; checked before.
        samples: calibration data, one array of the network's shape per input, by name.
        total: number of samples, for the progress bar.
        device: where training runs, if the setting asks for it.
        lowering: with which the file is to be made, for training.

    Raises:
        EspdlError: naming the node, tensor or sample concerned.
    """
    store = SampleStore() if trains(setting) else None
    if store is not None:
        samples = store.recorded(samples)
    extents: dict[str, tuple[float, float]] = {}
    samples = _with_extents(samples, extents)
    before = _assigned(model, platform, setting)
    correction = BiasCorrection(before, _corrected_layers(before, setting)) if setting.bias_correct else None
    rounding = WeightRounding(before, setting.weight_rounding_setting.inputs) if setting.weight_rounding else None
    listeners = [listener for listener in (correction, rounding) if listener is not None]
    graph, balanced = before, Balanced(model)
    if not any(True for _ in before.infos()):
        pass
    elif not setting.channel_balancing or platform.activation_bits != 8:
        calibrate_parameters(graph)
        calibrate(graph, samples, total, listeners)
    else:
        graph, balanced = _balance(before, platform, setting, samples, total, listeners)
    give_back_memory()
    graph.warnings += [
        f"input {name!r} is {low:g} everywhere in the calibration data, which say nothing of its range: are these the right data?"
        for name, (low, high) in extents.items()
        if low == high
    ]
    unite_exponents(graph, balanced.meeting)
    if setting.quant_config_modify:
        modify_exponents(graph, setting.quant_config_modify_setting.custom_config)
    ensure_headroom(graph)
    avoid_overflow(graph)
    set_bias_exponents(graph)
    if rounding is not None and (count := rounding.apply(graph, balanced.scales)):
        graph.measures.append(f"weights of {counted(count, 'layer')} rounded together")
    if correction is not None and (count := correction.apply(graph, balanced.scales)):
        graph.measures.append(f"biases of {counted(count, 'layer')} corrected for the mean error of rounded weights")
    if store is not None:
        with store:
            train_graph(graph, setting, store, device, lowering)
    return graph


def _with_extents(samples: Iterable[Sample], extents: dict[str, tuple[float, float]]) -> Iterator[Sample]:
    """Passes samples on, and notes the ends of each input of real numbers by name."""
    for sample in samples:
        for name, array in sample.items():
            if array.dtype.kind == "f" and array.size:
                low, high = float(array.min()), float(array.max())
                before = extents.get(name, (low, high))
                extents[name] = min(low, before[0]), max(high, before[1])
        yield sample


def _assigned(model: ir.Model, platform: TargetPlatform, setting: QuantizationSetting) -> QuantGraph:
    """A graph in which everybody knows whom they share an exponent with, but nobody has one."""
    graph = assign(model, platform, setting)
    share_representations(graph)
    align_representations(graph, setting.fusion_setting)
    return graph


def _balance(
    before: QuantGraph,
    platform: TargetPlatform,
    setting: QuantizationSetting,
    samples: Iterable[Sample],
    total: int | None,
    listeners: Sequence[Listener],
) -> tuple[QuantGraph, Balanced]:
    """The graph with its channels balanced for 8 bits, and calibrated.

    What a user sends to float or sets by hand keeps its scale, what runs in 16 bits goes along with the rest. One look at the data is
    enough where every exponent is chosen by what errors do: what was seen is scaled afterwards. Other algorithms count every value of the
    balanced network, which therefore is run again; the samples, which may come from a stream, are kept for that.
    """
    untouched = {name for name in (*setting.dispatching_table.platforms, *setting.custom_tqc) if not before.bits[name]}
    if setting.quant_config_modify:
        untouched |= set(setting.quant_config_modify_setting.custom_config)
    names, widths = tensors_to_measure(before.model, untouched), _widths(before)
    if _chooses_by_error(setting):
        survey, gates = Survey(dict.fromkeys([*names, *watched(before)])), gate_reaches(before)
        run_network(before.model, samples, total, [survey, *gates, *listeners])
        balanced = balance_channels(before.model, platform.chip, widths, survey.moments(), untouched)
        graph = _balanced_graph(before, balanced, platform, setting)
        give_back_memory()
        calibrate_from(graph, survey, balanced.scales)
        set_gates(graph, gates)
        return graph, balanced
    with KeptSamples(samples) as kept:
        survey = Survey(names)
        run_network(before.model, kept, total, [survey])
        balanced = balance_channels(before.model, platform.chip, widths, survey.moments(), untouched, shift=False)
        graph = _balanced_graph(before, balanced, platform, setting)
        calibrate(graph, kept, total, listeners)
    return graph, replace(balanced, scales={})


def _widths(graph: QuantGraph) -> Widths:
    wide = {name: bits for name, bits in graph.bits.items() if bits == 16}
    return Widths(8, wide, {name: bits for name, bits in wide.items() if name not in graph.narrow})


def _balanced_graph(before: QuantGraph, balanced: Balanced, platform: TargetPlatform, setting: QuantizationSetting) -> QuantGraph:
    graph = _assigned(balanced.model, platform, setting) if balanced.places else before
    calibrate_parameters(graph)
    if not balanced.places:
        return graph
    graph.reference, graph.scales = before.model, balanced.scales
    graph.measures.append(f"channels balanced between layers, in {counted(balanced.places, 'place')}")
    return graph


def _chooses_by_error(setting: QuantizationSetting) -> bool:
    """Whether exponents follow what errors do: shifted tensors have their zeros at the end of the integers, where others may clip."""
    activations = setting.quantize_activation_setting
    algorithms = (activations.calib_algorithm, *activations.calib_algorithm_per_layer.values())
    return all(OBSERVERS[(algorithm or "minmax").lower()].surveyed for algorithm in algorithms)


def _corrected_layers(graph: QuantGraph, setting: QuantizationSetting) -> list[str]:
    layers = list(setting.bias_correct_setting.interested_layers)
    where = "bias_correct_setting.interested_layers"
    check_layer_names(layers, [node.name or "" for node in graph.nodes()], where)
    able = [node.name or "" for node in layers_with_bias(graph)]
    check_layers_fit(layers, able, where, "biases are corrected of quantized Conv and Gemm that have one of their own")
    return layers
