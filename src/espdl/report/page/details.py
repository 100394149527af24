"""What the page knows of single nodes and tensors, as data for its script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from espdl.dl.plan import PlannedTensor
from espdl.estimate.latency import Layer
from espdl.estimate.memory import size_text
from espdl.fbs.records import AttributeValue, Node, Tensor
from espdl.report.graph.kinds import kind_of
from espdl.report.graph.network import shape_text, title_of
from espdl.report.page.bars import level_words
from espdl.report.page.collect import Report
from espdl.report.tensors import TensorRow

LONGEST = 160
"""Characters of an attribute that are shown."""


def details(report: Report) -> dict[str, Any]:
    """Nodes in running order and tensors in the order of the inspection; texts are ready to show."""
    graph = report.model.fbs_model.record.graph
    rows = report.inspection.tensors
    numbers = {row.name: index for index, row in enumerate(rows)}
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    readers: dict[str, list[int]] = {}
    for index, node in enumerate(graph.node):
        for name in dict.fromkeys(filter(None, node.input)):
            readers.setdefault(name, []).append(index)
    plan = report.model.memory.plan.tensors
    layers = {layer.name: layer for layer in report.latency.layers} if report.latency is not None else {}
    return {
        "nodes": [_node(report, node, numbers, layers.get(node.name)) for node in graph.node],
        "tensors": [_tensor(row, makers.get(row.name), readers.get(row.name, []), plan.get(row.name)) for row in rows],
    }


def _node(report: Report, node: Node, numbers: Mapping[str, int], layer: Layer | None) -> dict[str, Any]:
    facts: list[list[str]] = []
    share, noise = 0.0, None
    if layer is not None:
        share = layer.share
        facts.append(["latency", f"{layer.time.text()}, 90 % interval; {layer.share:.1%} of the model"])
        if layer.causes:
            facts.append(["bound by", ", ".join(f"{cause} {us / layer.time.us:.0%}" for cause, us in _largest(layer.causes))])
        if layer.macs:
            facts.append(
                ["products", f"{layer.macs / 1e6:.3g} M multiply-accumulates{', on two cores' if layer.two_cores else ''}"]
            )
    if report.errors is not None:
        noise = report.errors.layerwise.get(node.name)
        for words, values in (("noise in its result", report.errors.graphwise), ("noise it alone adds", report.errors.layerwise)):
            if (text := level_words(values, node.name)) is not None:
                facts.append([words, text])
    return {
        "name": node.name,
        "op": node.op_type,
        "title": title_of(node),
        "kind": kind_of(node.op_type),
        "facts": facts,
        "share": share,
        "noise": noise,
        "attributes": [[attribute.name, attribute_text(attribute.value)] for attribute in node.attribute],
        "in": [numbers.get(name) for name in node.input if name],
        "out": [numbers.get(name) for name in node.output if name],
        "findings": [index for index, finding in enumerate(report.findings) if finding.node == node.name],
    }


def _largest(causes: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(causes.items(), key=lambda item: -item[1])[:3]


def attribute_text(value: AttributeValue) -> str:
    """An attribute's value on one line, cut where it is long."""
    if isinstance(value, Tensor):
        return f"{value.data_type.numpy} tensor {list(value.dims)}"
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _tensor(row: TensorRow, maker: int | None, readers: list[int], planned: PlannedTensor | None) -> dict[str, Any]:
    what = f"{row.dtype} {shape_text(row.shape) or 'scalar' if row.shape is not None else 'of unknown shape'}"
    facts = [what + (f" {row.layout}" if row.layout else "")]
    if row.exponents:
        facts.append(f"real = integer × 2^{row.exponent_text}")
    if row.real_range is not None:
        facts.append(f"{'holds' if row.kind == 'parameter' else 'can hold'} {row.real_range[0]:.4g} to {row.real_range[1]:.4g}")
    if row.size is not None:
        facts.append(size_text(row.size))
    place = ""
    if planned is not None:
        until = "the end" if planned.end < 0 else f"step {planned.end - 1}"
        memory = "internal RAM" if planned.internal else "PSRAM"
        place = f"{memory} + {planned.offset}, from step {planned.begin} to {until}"
        place += f", in place of {planned.leader}" if planned.leader else ""
    return {"name": row.name, "kind": row.kind, "facts": facts, "place": place, "maker": maker, "readers": readers}
