"""Which nodes of a prepared network stand for which nodes of the imported one."""

from __future__ import annotations

from typing import NamedTuple

import onnx_ir as ir


class Region(NamedTuple):
    """Nodes of the imported network and the nodes that compute the same in the prepared one, both in execution order."""

    before: list[ir.Node]
    after: list[ir.Node]


def regions(imported: ir.Model, prepared: ir.Model) -> list[Region]:
    """Cuts both networks at the values that both have, by name.

    Passes keep the name of a value whose numbers they keep. So two values of the same name hold the same, and what lies between such
    values on one side was rewritten into what lies between them on the other.
    """
    shared = _names(imported) & _names(prepared)
    parts = _components(prepared, shared)
    producers = {value.name: node for node in imported.graph for value in node.outputs}
    place = {node: index for index, node in enumerate(imported.graph)}
    found: list[Region] = []
    for after in parts:
        inputs = {value.name for node in after for value in node.inputs if value is not None and value.name in shared}
        inputs -= {value.name for node in after for value in node.outputs}
        before: set[ir.Node] = set()
        open_names = [value.name for node in after for value in node.outputs if value.name in shared]
        while open_names:
            node = producers.get(open_names.pop())
            if node is None or node in before:
                continue
            before.add(node)
            open_names += [value.name for value in node.inputs if value is not None and value.name not in inputs]
        found.append(Region(sorted(before, key=place.__getitem__), after))
    return found


def _names(model: ir.Model) -> set[str | None]:
    names = {value.name for value in model.graph.inputs}
    return names | {value.name for node in model.graph for value in node.outputs if value.name}


def _components(model: ir.Model, shared: set[str | None]) -> list[list[ir.Node]]:
    """Nodes joined where a value between them is not shared."""
    nodes = list(model.graph)
    leader = {node: node for node in nodes}

    def root(node: ir.Node) -> ir.Node:
        while leader[node] is not node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    for node in nodes:
        for value in node.inputs:
            source = value.producer() if value is not None else None
            if source is not None and value is not None and value.name not in shared:
                leader[root(node)] = root(source)
    groups: dict[ir.Node, list[ir.Node]] = {}
    for node in nodes:
        groups.setdefault(root(node), []).append(node)
    return list(groups.values())
