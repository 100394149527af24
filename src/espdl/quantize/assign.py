"""Decides where every operator of a network runs and creates the representation of each of its tensors, all independent at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

import espdl.dl.module  # noqa: F401  # fills MODULE_TYPES
from espdl.dl.module.base import MODULE_TYPES, Module
from espdl.dl.module.contract import Availability
from espdl.dtypes import QuantType
from espdl.errors import EspdlError
from espdl.quantize.facts import attributes_of
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.passes.tools import attribute, constant, name_of, sole_consumer
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.setting_check import check_layer_names
from espdl.quantize.widths import custom_platform
from espdl.wording import at_node

GATE_BITS = 16
"""Of the gates of recurrent operators, their biases and cell states, whatever the width of the others (runtime spec 3.12)."""

QUANT_TYPES = {0: QuantType.FLOAT32, 8: QuantType.SYMM_8BIT, 16: QuantType.SYMM_16BIT}


def module_of(node: ir.Node) -> type[Module]:
    """The operator class of a node. Raises :class:`EspdlError` for one that the runtime does not have."""
    try:
        return MODULE_TYPES[node.op_type]
    except KeyError:
        raise EspdlError(
            f"operator {node.op_type} cannot run", where=f"node {node.name!r}", hint="espdl check lists every such node"
        ) from None


def assign(model: ir.Model, platform: TargetPlatform, setting: QuantizationSetting) -> QuantGraph:
    """A graph whose every quantized tensor has a representation of its own, without exponents.

    Args:
        model: a prepared network.
        platform: what it is quantized for, apart from the nodes named in ``setting.dispatching_table``.
        setting: its calibration algorithms and dispatching table are read.

    Raises:
        EspdlError: for a layer name that the network does not have, and for an operator that cannot run as asked.
    """
    graph = QuantGraph(model, platform.chip)
    names = [node.name or "" for node in model.graph]
    overrides = setting.dispatching_table.platforms
    check_layer_names(overrides, names, "dispatching_table")
    check_layer_names(setting.custom_tqc, names, "custom_tqc")
    places: dict[str, TargetPlatform] = {}
    activations, parameters = setting.quantize_activation_setting, setting.quantize_parameter_setting
    check_layer_names(activations.calib_algorithm_per_layer, names, "calib_algorithm_per_layer")
    check_layer_names(parameters.calib_algorithm_per_layer, names, "calib_algorithm_per_layer")
    for node in model.graph:
        name = node.name or ""
        wanted = overrides.get(name) or _platform_before(node, places) or platform
        if name in setting.custom_tqc:
            try:
                wanted = custom_platform(node, wanted, setting.custom_tqc[name])
            except EspdlError as error:
                raise error.at(f"custom_tqc[{name!r}]") from None
        places[name] = wanted
        graph.bits[name] = node_bits(node, wanted, forced=name in overrides or name in setting.custom_tqc)
        if graph.bits[name] == 16 and wanted.weight_bits == 8:
            if takes_narrow_weights(node):
                graph.narrow.add(name)
            elif node.op_type == "MatMul":
                wanted = replace(wanted, weight_bits=16)
        graph.platforms[name] = wanted.name if graph.bits[name] else "FP32"
        _add_inputs(graph, node, setting)
        _add_outputs(graph, node, setting)
        if graph.bits[name] and module_of(node).quantization.states is not None:
            graph.gates[name] = QuantInfo(f"gates of {name}", GATE_BITS, Role.CONSTANT)
    for value in model.graph.inputs:
        readers = [graph.consumed[key] for key in _slots(value) if key in graph.consumed]
        if readers:
            widest = max(readers, key=lambda info: info.bits)
            graph.produced[value.name or ""] = QuantInfo(value.name or "", widest.bits, observer=widest.observer)
    graph.warnings += _newer_than_firmware(graph)
    return graph


def _platform_before(node: ir.Node, places: Mapping[str, TargetPlatform]) -> TargetPlatform | None:
    """Where a Relu runs that alone reads a 16-bit product: there, too, so that it becomes part of it (quantizer spec 7.1)."""
    source = node.inputs[0].producer() if node.op_type == "Relu" and node.inputs[0] is not None else None
    if source is None or not module_of(source).quantization.computing or sole_consumer(source.outputs[0]) is not node:
        return None
    place = places[source.name or ""]
    return place if place.activation_bits == 16 else None


def _newer_than_firmware(graph: QuantGraph) -> list[str]:
    """What ESP-DL 3.3.9 does not load, one sentence each."""
    refused = {node.op_type for node in graph.nodes() if not graph.bits[node.name or ""]}
    refused = {op_type for op_type in refused if QuantType.FLOAT32 not in MODULE_TYPES[op_type].contract.quant_types}
    found = []
    if refused:
        found.append(f"ESP-DL refuses to load {', '.join(sorted(refused))} in float32: only espdl runs the file")
    for node in graph.nodes():
        availability = module_of(node).contract.availability
        if availability is not Availability.REGISTERED and node.op_type not in refused:
            found.append(f"{node.op_type}: {availability.value}")
    found = list(dict.fromkeys(found))
    if graph.narrow:
        found.append(f"8-bit weights with 16-bit activations (W8A16): {Availability.NEWER.value}")
    return found


def takes_narrow_weights(node: ir.Node) -> bool:
    """Whether a node has an 8-bit weight where its platform asks for 8-bit weights and 16-bit activations (quantizer spec 2.2)."""
    module = module_of(node)
    weight = constant(node.inputs[1]) if module.quantization.computing and len(node.inputs) > 1 else None
    return module.contract.narrow_weights and weight is not None and weight.ndim > 1 and attribute(node, "group", 1) == 1


def node_bits(node: ir.Node, platform: TargetPlatform, forced: bool = False) -> int:
    """Width in which a node runs on ``platform``: its integers, or 0 for float. Truth values are bytes everywhere.

    An operator without integer form, or one that loses too much in it, runs in float unless its width is ``forced``.
    """
    module = module_of(node)
    able = module.contract.quant_types
    bits = platform.activation_bits
    if module.quantization.truth_values:
        return 8
    if not _handles_numbers(node) or (QuantType.FLOAT32 in able and _masks(node)):
        return 0
    if bits and QUANT_TYPES[bits] in able and (forced or not module.quantization.prefers_float):
        return bits
    if module.runs_float() if bits == 0 else (QuantType.FLOAT32 in able and not forced):
        return 0
    forms = ", ".join(sorted(quant_type.attribute for quant_type in able))
    raise EspdlError(
        f"operator {node.op_type} cannot run as {QUANT_TYPES[bits].attribute}",
        where=f"node {node.name!r}",
        why=f"it runs as {forms}",
        hint=f"dispatching_table.append({node.name!r}, get_target_platform({platform.chip.name!r}, 8)), "
        f'or in a recipe: [dispatching_table] "{node.name}" = 8',
    )


def is_real(value: ir.Value | None) -> bool:
    """Whether a tensor holds real numbers, the only ones that are quantized."""
    return value is not None and value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


def _handles_numbers(node: ir.Node) -> bool:
    return any(is_real(value) for value in (*node.inputs, *node.outputs))


def _masks(node: ir.Node) -> bool:
    """Whether a node adds a mask with -inf in it, or reads what such a node puts out: no integer stands for that."""
    rules = module_of(node).quantization
    for index, value in enumerate(node.inputs):
        writer = value.producer() if value is not None else None
        if _hides(value) and index not in rules.float_inputs:
            return True
        if writer is not None and writer.op_type == "Add" and any(_hides(item) for item in writer.inputs):
            return True
    return False


def _hides(value: ir.Value | None) -> bool:
    array = constant(value)
    return (
        array is not None and array.dtype.kind == "f" and bool(np.isneginf(array).any()) and bool(array.max(initial=0.0) < np.inf)
    )


def _slots(value: ir.Value) -> list[tuple[str, int]]:
    return [(use.node.name or "", use.idx) for use in value.uses()]


def _add_inputs(graph: QuantGraph, node: ir.Node, setting: QuantizationSetting) -> None:
    bits, name, rules = graph.bits[node.name or ""], node.name or "", module_of(node).quantization
    if not bits:
        return
    for index, value in enumerate(node.inputs):
        if value is None or not is_real(value) or index in rules.float_inputs:
            continue
        array = constant(value)
        if array is None:
            observer = _algorithm(setting.quantize_activation_setting, name) or "minmax"
            width = GATE_BITS if rules.states is not None and index in rules.states.gate_inputs else bits
            graph.consumed[name, index] = QuantInfo(value.name or "", width, observer=observer)
        else:
            graph.consumed[name, index] = _parameter_info(graph, node, index, array, setting)


def _parameter_info(graph: QuantGraph, node: ir.Node, index: int, array: np.ndarray, setting: QuantizationSetting) -> QuantInfo:
    name, rules = node.name or "", module_of(node).quantization
    bits = 8 if index == 1 and name in graph.narrow else graph.bits[name]
    value_name = name_of(node.inputs[index])
    if not np.isfinite(array).all():
        raise EspdlError(f"constant {value_name!r} holds NaN or infinite values", where=at_node(name, node.op_type))
    if rules.states is not None and index in rules.states.gate_inputs:
        return QuantInfo(value_name, GATE_BITS, Role.CONSTANT)
    if rules.computing and index == 2:
        return QuantInfo(value_name, graph.chip.export_bias_bits(graph.bits[name]), Role.BIAS)
    axis = None
    if rules.computing and index == 1 and rules.weight_channel_axis is not None and graph.chip.per_channel_weights:
        axis = rules.weight_channel_axis(attributes_of(node))
    observer = _algorithm(setting.quantize_parameter_setting, name)
    if observer is None:
        observer = "percentile" if bits == 8 and axis is None else "minmax"
    is_weight = index in rules.states.weights if rules.states is not None else rules.computing and index == 1
    role = Role.WEIGHT if is_weight else Role.CONSTANT
    return QuantInfo(value_name, bits, role, observer, axis)


def _add_outputs(graph: QuantGraph, node: ir.Node, setting: QuantizationSetting) -> None:
    bits, name, rules = graph.bits[node.name or ""], node.name or "", module_of(node).quantization
    for index, value in enumerate(node.outputs):
        if bits and is_real(value) and index not in rules.float_outputs:
            observer = _algorithm(setting.quantize_activation_setting, name) or "minmax"
            is_gate = rules.states is not None and index in rules.states.gate_outputs
            width = GATE_BITS if is_gate else bits
            own = rules.states is not None
            graph.produced[value.name or ""] = QuantInfo(value.name or "", width, observer=observer, own=own)


def _algorithm(group: object, node_name: str) -> str | None:
    per_layer: Mapping[str, str] = group.calib_algorithm_per_layer  # type: ignore[attr-defined]  # both groups have it
    algorithm = per_layer.get(node_name, group.calib_algorithm)  # type: ignore[attr-defined]
    return algorithm.lower() if algorithm else None
