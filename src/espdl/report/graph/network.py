"""A model's graph as a drawing needs it: nodes with their kind, and the tensors between them with their shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from espdl.fbs.records import AttributeValue, Graph, Node
from espdl.report.graph.kinds import kind_of


@dataclass(frozen=True)
class Vertex:
    """An operator, or an input or output of the network.

    Attributes:
        node: index of the operator in the file; None for an input or output.
        kind: a key of :data:`espdl.report.graph.kinds.KINDS`.
        title: the operator with what matters most of its attributes. name: of the node or tensor.
        shapes: of what it gives to others, as in ``1×8×8×16``; empty where the file does not say.
    """

    node: int | None
    kind: str
    title: str
    name: str
    shapes: str


@dataclass(frozen=True)
class Network:
    """Vertices, and edges between them as (source, sink, tensor); sources come before sinks."""

    name: str
    vertices: list[Vertex]
    edges: list[tuple[int, int, str]]


def network_of(graph: Graph) -> Network:
    """The drawing's view of the graph of a file, whose nodes stand in running order."""
    shapes = {value.name: value.shape for value in (*graph.value_info, *graph.output, *graph.input)}
    constants = {tensor.name for tensor in graph.initializer}
    ports = [value for value in graph.input if value.name not in constants]
    vertices = [Vertex(None, "port", "input", value.name, shape_text(value.shape)) for value in ports]
    maker = {value.name: index for index, value in enumerate(ports)}
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    edges: list[tuple[int, int, str]] = []
    for index, node in enumerate(graph.node):
        edges += [(maker[name], len(vertices), name) for name in dict.fromkeys(node.input) if name in maker]
        maker |= {name: len(vertices) for name in node.output if name}
        given = [shape_text(shapes.get(name)) for name in node.output if name in read]
        vertices.append(Vertex(index, kind_of(node.op_type), title_of(node), node.name, _joined(given)))
    for value in graph.output:
        if value.name in maker:
            edges.append((maker[value.name], len(vertices), value.name))
            vertices.append(Vertex(None, "port", "output", value.name, ""))
    return Network(graph.name, vertices, edges)


def shape_text(shape: Sequence[int] | None) -> str:
    """``1×8×8×16``."""
    return "×".join(map(str, shape)) if shape else ""


def _joined(shapes: Sequence[str]) -> str:
    """Shapes of several outputs; equal ones are counted."""
    counts: dict[str, int] = {}
    for shape in filter(None, shapes):
        counts[shape] = counts.get(shape, 0) + 1
    return ", ".join(f"{count} of {shape}" if count > 1 else shape for shape, count in counts.items())


def title_of(node: Node) -> str:
    """``Conv 3×3 /2 Relu``: the operator with its kernel, stride and fused activation."""
    values: Mapping[str, AttributeValue] = {attribute.name: attribute.value for attribute in node.attribute}
    parts = [node.op_type]
    kernel, strides = values.get("kernel_shape"), values.get("strides")
    if isinstance(kernel, list) and kernel:
        parts.append("×".join(map(str, kernel)))
    if isinstance(strides, list) and any(stride != 1 for stride in strides):
        parts.append("/" + "×".join(dict.fromkeys(map(str, strides))))
    group = values.get("group")
    if isinstance(group, int) and group > 1:
        parts.append("dw")
    activation = values.get("activation")
    if isinstance(activation, str) and activation not in ("", "Linear"):
        parts.append(activation)
    return " ".join(parts)
