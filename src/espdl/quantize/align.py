"""Makes exponents equal where an operator computes on raw integers and needs it (quantizer spec 7.6, 7.7)."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from espdl.dl.module.contract import Align, States
from espdl.quantize.assign import module_of
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.passes.tools import constant, name_of
from espdl.quantize.setting import QuantizationFusionSetting
from espdl.quantize.share import ACTIVATIONS

TO_OUTPUT, TO_LARGE, TO_INPUT, NOTHING = "Align to Output", "Align to Large", "Align to Input", "None"
AVERAGES = ("AveragePool", "GlobalAveragePool")
JOINTS = ("Concat", "ScatterND")


def align_representations(graph: QuantGraph, fusion: QuantizationFusionSetting | None = None) -> None:
    """Aligns inputs to outputs (Add, Sub, Concat, Resize), compared tensors to each other, and constants to the input they belong to.

    A tensor that is only read where it must be aligned is written with that exponent in the first place; one that is also read
    elsewhere keeps its own and is converted.

    Args:
        graph: with shared representations.
        fusion: to what is aligned; the defaults of ``espdl_setting()`` when None.
    """
    force = fusion is not None and fusion.force_alignment_overlap
    for node in graph.nodes():
        rules, choice = module_of(node).quantization, _choice(node, fusion)
        result, source = graph.output_info(node.outputs[0]), graph.input_info(node, 0)
        if choice in (TO_OUTPUT, TO_LARGE) and result is not None:
            inputs = range(len(node.inputs) if rules.align is Align.INPUTS_TO_OUTPUT else 1)
            if choice == TO_LARGE:
                result.watched += _computed(graph, node, inputs)
            _align_inputs(graph, node, inputs, result, force)
        elif choice == TO_INPUT and result is not None and source is not None:
            result.align_to(source)
        elif rules.align is Align.INPUTS_TOGETHER:
            _align_together(graph, node)
        first = graph.input_info(node, 0)
        for index in rules.inputs_like_first:
            info = graph.input_info(node, index)
            if info is not None and first is not None:
                info.align_to(first)
        if rules.states is not None:
            _align_states(graph, node, rules.states, force)


def _choice(node: ir.Node, fusion: QuantizationFusionSetting | None) -> str:
    """What a node's exponents are aligned to: one of the words of the setting."""
    align = module_of(node).quantization.align
    if node.op_type in AVERAGES:
        return NOTHING if fusion is None else fusion.align_avgpooling_to
    if align is Align.INPUT_TO_OUTPUT:
        return TO_OUTPUT if fusion is None else fusion.align_resize_to
    if align is Align.INPUTS_TO_OUTPUT and fusion is not None:
        return fusion.align_concat_to if node.op_type in JOINTS else fusion.align_elementwise_to
    return TO_OUTPUT if align is Align.INPUTS_TO_OUTPUT else NOTHING


def _computed(graph: QuantGraph, node: ir.Node, indices: Iterable[int]) -> list[str]:
    """Names of the quantized activations among those inputs."""
    values = [node.inputs[index] for index in indices if graph.input_info(node, index) is not None]
    return [value.name or "" for value in values if value is not None and constant(value) is None]


def _align_inputs(graph: QuantGraph, node: ir.Node, indices: Iterable[int], result: QuantInfo, force: bool) -> None:
    for index in indices:
        value, info = node.inputs[index], graph.input_info(node, index)
        if info is None or value is None or info.root is result.root:
            continue
        info.align_to(result)
        if constant(value) is None:
            source, way = _way_from_writer(graph, value)
            leader = way[-1].root if way else None
            keeps = leader is None or leader.own
            if leader in way and not keeps and leader.bits == result.bits and (force or _only_reaches(graph, source, node)):
                leader.align_to(result)


def _way_from_writer(graph: QuantGraph, value: ir.Value) -> tuple[ir.Value, list[QuantInfo]]:
    """The tensor that ``value`` is a part or rearrangement of, or what an activation leaves of it, as far up as they share one
    representation; and all representations on the way, from ``value`` up.

    Where a float result, or one of another width, is converted in front of the first operator of the way, its tensor is the source, and
    what it is converted to the last of the way.
    """
    way: list[QuantInfo] = []
    while True:
        info, node = graph.output_info(value), value.producer()
        if info is None:
            return value, way
        way.append(info)
        before = graph.input_info(node, 0) if node is not None and _passes_on(graph, node) else None
        if node is None or before is None or before.root is not info.root or node.inputs[0] is None:
            return value, way
        way.append(before)
        value = node.inputs[0]
        written = graph.output_info(value)
        if written is None or written.root is not info.root:
            return value, way


def _align_states(graph: QuantGraph, node: ir.Node, states: States, force: bool) -> None:
    """Hidden states have one exponent, which suits those given from outside, too; biases and cell states have that of the gates."""
    found = [info for index in states.hidden_outputs if (info := graph.output_info(node.outputs[index])) is not None]
    if not found:
        return
    hidden, *others = found
    for other in others:
        other.align_to(hidden)
    _align_inputs(graph, node, _given(node, states.hidden_inputs), hidden, force)
    hidden.watched += [name_of(node.inputs[index]) for index in _given(node, states.hidden_inputs)]
    gates = graph.gates[node.name or ""]
    for index in states.gate_outputs:
        info = graph.output_info(node.outputs[index])
        if info is not None:
            info.align_to(gates)
    _align_inputs(graph, node, _given(node, states.gate_inputs), gates, force)


def _given(node: ir.Node, indices: Iterable[int]) -> list[int]:
    return [index for index in indices if index < len(node.inputs) and node.inputs[index] is not None]


def _align_together(graph: QuantGraph, node: ir.Node) -> None:
    infos = [info for index in range(len(node.inputs)) if (info := graph.input_info(node, index)) is not None]
    if not infos:
        return
    # A representation of this place alone, so that tensors that are read elsewhere keep theirs.
    common = QuantInfo(infos[0].value, infos[0].bits, Role.ACTIVATION, next((i.observer for i in infos if i.observer), "minmax"))
    common.watched = [info.value for info in infos[1:]]
    for info in infos:
        info.align_to(common)


def _passes_on(graph: QuantGraph, node: ir.Node) -> bool:
    """Whether the result is a part of the input, or what an activation leaves of it in the same representation."""
    if node.op_type not in ACTIVATIONS:
        return module_of(node).quantization.passive
    before, after = graph.input_info(node, 0), graph.output_info(node.outputs[0])
    return before is not None and after is not None and before.root is after.root


def _only_reaches(graph: QuantGraph, value: ir.Value, node: ir.Node) -> bool:
    """Whether ``value``, and all that is a part of it, is read by ``node`` alone."""
    if value.is_graph_output():
        return False
    for consumer in value.consumers():
        if consumer is node:
            continue
        if not _passes_on(graph, consumer) or not all(_only_reaches(graph, output, node) for output in consumer.outputs):
            return False
    return True
