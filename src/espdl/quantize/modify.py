"""Exponents that a user sets by hand (setting ``quant_config_modify``, quantizer spec 7.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from espdl.errors import EspdlError
from espdl.quantize.graph import QuantGraph
from espdl.quantize.setting_check import check_layer_names


def modify_exponents(graph: QuantGraph, scales: Mapping[str, float]) -> None:
    """Gives the output of each node named, and what shares its exponent, the scale given.

    Args:
        graph: after calibration.
        scales: power-of-two scales by node name.

    Raises:
        EspdlError: for a node that does not exist or is not quantized, and for a scale that is no power of two.
    """
    nodes = {node.name or "": node for node in graph.nodes()}
    check_layer_names(scales, nodes, "quant_config_modify_setting.custom_config")
    for name, scale in scales.items():
        where = f"quant_config_modify_setting.custom_config[{name!r}]"
        if not isinstance(scale, (int, float)) or not scale > 0 or math.frexp(scale)[0] != 0.5:
            raise EspdlError(f"scale {scale!r} is not a power of two", where=where, hint="a chip scales by shifting: 2**-5, say")
        info = graph.output_info(nodes[name].outputs[0])
        if info is None:
            raise EspdlError("the output of this node is not quantized", where=where)
        info.set_exponents((math.frexp(scale)[1] - 1,))
