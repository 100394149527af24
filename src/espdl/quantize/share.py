"""Lets tensors that are not told apart share one representation: fused activations, parts and rearrangements, writer and readers
(quantizer spec 7.1, 7.2)."""

from __future__ import annotations

from espdl.quantize.assign import module_of
from espdl.quantize.graph import QuantGraph, QuantInfo
from espdl.quantize.passes.tools import constant, sole_consumer

ACTIVATIONS = ("Relu", "Clip")
"""Activations whose output decides how the operator before them is represented: what they cut off need not be represented."""


def share_representations(graph: QuantGraph) -> None:
    """Groups the representations of ``graph``: afterwards every tensor that needs an exponent of its own has one root."""
    share_with_readers(graph)
    share_over_activations(graph)
    share_over_rearrangements(graph)


def share_with_readers(graph: QuantGraph) -> None:
    """A reader of a tensor takes it as it was written, when their widths agree; readers of another width share one conversion."""
    converted: dict[tuple[str, int], QuantInfo] = {}
    for node in graph.nodes():
        for index, value in enumerate(node.inputs):
            info = graph.input_info(node, index)
            if value is None or info is None or constant(value) is not None:
                continue
            written = graph.output_info(value)
            if written is not None and written.bits == info.bits:
                info.same_as(written)
            elif (first := converted.setdefault((value.name or "", info.bits), info)) is not info:
                info.same_as(first)


def share_over_activations(graph: QuantGraph) -> None:
    """The tensor before a Relu or Clip that alone reads it is represented as the tensor after it, unless it is a state: what is cut off
    there is still fed back."""
    for node in graph.nodes():
        if len(node.outputs) != 1:
            continue
        before = graph.output_info(node.outputs[0])
        activation = sole_consumer(node.outputs[0], *ACTIVATIONS)
        if activation is None or before is None or activation.inputs[0] is not node.outputs[0]:
            continue
        after = graph.output_info(activation.outputs[0])
        if after is not None and after.bits == before.bits and not before.own:
            before.same_as(after)


def share_over_rearrangements(graph: QuantGraph) -> None:
    """An operator that only picks or moves values (MaxPool, Slice, Transpose) leaves their representation as it is."""
    for node in graph.nodes():
        info = graph.input_info(node, 0)
        if info is None or not module_of(node).quantization.passive:
            continue
        for output in node.outputs:
            result = graph.output_info(output)
            if result is not None and result.bits == info.bits:
                result.same_as(info)
