"""From a prepared float network and samples to a graph whose every tensor has exponents: the steps in order."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from espdl.quantize.align import align_representations
from espdl.quantize.assign import assign
from espdl.quantize.calibrate import calibrate
from espdl.quantize.dataloader import Sample
from espdl.quantize.graph import QuantGraph
from espdl.quantize.headroom import avoid_overflow, ensure_headroom
from espdl.quantize.modify import modify_exponents
from espdl.quantize.parameters import calibrate_parameters, set_bias_exponents
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.share import share_representations


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
    graph = assign(model, platform, setting)
    share_representations(graph)
    align_representations(graph, setting.fusion_setting)
    calibrate_parameters(graph)
    if any(True for _ in graph.infos()):
        calibrate(graph, samples, total)
    if setting.quant_config_modify:
        modify_exponents(graph, setting.quant_config_modify_setting.custom_config)
    ensure_headroom(graph)
    avoid_overflow(graph)
    set_bias_exponents(graph)
    return graph
