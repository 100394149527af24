"""Which node of one file is which of another: by name, else by its place among nodes of the same kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from espdl.fbs.records import Graph, Node


@dataclass(frozen=True)
class Matched:
    """Nodes of two graphs.

    Attributes:
        pairs: that stand for each other, in the order of the first graph. removed, added: without a partner.
        names: tensors of the first graph by what they are called in the second, as far as they are called otherwise.
    """

    pairs: tuple[tuple[Node, Node], ...]
    removed: tuple[Node, ...]
    added: tuple[Node, ...]
    names: dict[str, str]


def match_nodes(one: Graph, two: Graph) -> Matched:
    """Matches nodes of the same name; those left over by operator and shape of their output, in running order."""
    theirs = {node.name: node for node in two.node}
    pairs = {index: theirs[node.name] for index, node in enumerate(one.node) if node.name in theirs}
    taken = {id(node) for node in pairs.values()}
    left = [index for index in range(len(one.node)) if index not in pairs]
    right = [node for node in two.node if id(node) not in taken]
    signatures = _signatures(one, [one.node[index] for index in left]), _signatures(two, right)
    for block in SequenceMatcher(None, *signatures, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            pairs[left[block.a + step]] = right[block.b + step]
    taken = {id(node) for node in pairs.values()}
    matched = tuple((one.node[index], pairs[index]) for index in sorted(pairs))
    return Matched(
        matched,
        tuple(node for index, node in enumerate(one.node) if index not in pairs),
        tuple(node for node in two.node if id(node) not in taken),
        _names(one, two, matched),
    )


def _signatures(graph: Graph, nodes: Sequence[Node]) -> list[tuple[object, ...]]:
    shapes = {value.name: value.shape for value in (*graph.value_info, *graph.output)}
    return [(node.op_type, len(node.input), tuple(shapes.get(name) for name in node.output)) for node in nodes]


def _names(one: Graph, two: Graph, pairs: Sequence[tuple[Node, Node]]) -> dict[str, str]:
    ours, theirs = _all_names(one), _all_names(two)
    found: dict[str, str] = {}
    listed: list[tuple[list[str], list[str]]] = []
    for role in ("input", "output"):
        ends = [[value.name for value in getattr(graph, role)] for graph in (one, two)]
        if len(ends[0]) == len(ends[1]):
            listed.append((ends[0], ends[1]))
    listed += [(names, others) for a, b in pairs for names, others in ((a.input, b.input), (a.output, b.output))]
    constants = {tensor.name for tensor in one.initializer}, {tensor.name for tensor in two.initializer}
    for a, b in pairs:  # a constant is known by the node that reads it: exporters number them anew each time
        for name, other in zip(a.input, b.input, strict=False):
            if name != other and name in constants[0] and other in constants[1]:
                found.setdefault(name, other)
    for names, others in listed:
        for name, other in zip(names, others, strict=False):
            if name and other and name != other and name not in theirs and other not in ours:
                found.setdefault(name, other)
    return found


def _all_names(graph: Graph) -> set[str]:
    return {value.name for value in (*graph.input, *graph.output, *graph.value_info)} | {
        tensor.name for tensor in graph.initializer
    }
