"""Whether the graph of a model can run: names, order, constants, exponents. :mod:`reader` has checked the bytes before."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from math import prod

from espdl.chips import LARGEST_MEMORY
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs.records import Graph, Model, Node
from espdl.wording import at_node


def validate_model(model: Model) -> None:
    """Checks everything that running relies on.

    Raises:
        EspdlError: a name used twice, a missing constant, a cycle or nodes out of order, a value without type, exponents that do not
            fit the shape. Names the node or value.
    """
    graph = model.graph
    constants = _unique((tensor.name for tensor in graph.initializer), "constant")
    _unique((node.name for node in graph.node), "node")
    inputs = _unique((value.name for value in graph.input), "graph input")
    _unique((value.name for value in graph.output), "graph output")
    _check_values(graph)
    for tensor in graph.initializer:
        _check_exponents(tensor.exponents, tensor.dims, f"constant {tensor.name!r}")
    for tensor in (*graph.test_inputs_value, *graph.test_outputs_value):
        _check_exponents(tensor.exponents, tensor.dims, f"test value {tensor.name!r}")
    _check_order(graph, constants | inputs)
    _check_tables(graph, constants)


def _unique(names: Iterable[str], kind: str) -> set[str]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not name:
            raise EspdlError("it has no name", where=f"{kind} {index}")
        if name in seen:
            raise EspdlError(f"there is another {kind} of this name", where=f"{kind} {name!r}")
        seen.add(name)
    return seen


def _check_values(graph: Graph) -> None:
    """Every variable has one type, and a size that a chip could hold."""
    types: dict[str, tuple[object, ...]] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        facts = (value.data_type, value.shape, value.exponents)
        if types.setdefault(value.name, facts) != facts:
            raise EspdlError("two value_info entries contradict each other", where=f"value {value.name!r}")
        if value.shape is not None and prod(value.shape) * value.data_type.itemsize > LARGEST_MEMORY:
            raise EspdlError(f"shape {list(value.shape)} is more than any chip can hold", where=f"value {value.name!r}")
        if value.name and value.data_type is DType.UNDEFINED:
            raise EspdlError("the file does not say its element type", where=f"value {value.name!r}")
        if value.shape is not None:
            _check_exponents(value.exponents, value.shape, f"value {value.name!r}")
    for node in graph.node:
        for name in node.output:
            if name and name not in types:
                raise EspdlError(
                    f"output {name!r} has no value_info, so its type is not known", where=at_node(node.name, node.op_type)
                )


def _check_exponents(exponents: tuple[int, ...], shape: tuple[int, ...], where: str) -> None:
    """One exponent, or one for each index of a dimension."""
    if len(exponents) > 1 and len(exponents) not in shape:
        raise EspdlError(f"{len(exponents)} exponents belong to no dimension of shape {list(shape)}", where=where)


def _check_order(graph: Graph, known: set[str]) -> None:
    """Every input of a node is there when it runs, and nothing is produced twice."""
    produced_by: dict[str, Node] = {}
    for node in graph.node:
        for name in node.output:
            if name in produced_by or name in known:
                raise EspdlError(f"output {name!r} already has a producer", where=at_node(node.name, node.op_type))
            if name:
                produced_by[name] = node
    ready = set(known)
    for node in graph.node:
        for name in node.input:
            if name and name not in ready:
                if name not in produced_by:
                    raise EspdlError(
                        f"input {name!r} is missing: no constant, graph input or node provides it",
                        where=at_node(node.name, node.op_type),
                    )
                raise _order_error(graph, produced_by, node, name)
        ready.update(node.output)
    for value in graph.output:
        if value.name not in ready:
            raise EspdlError("no node produces it", where=f"graph output {value.name!r}")


def _order_error(graph: Graph, produced_by: dict[str, Node], node: Node, name: str) -> EspdlError:
    """Tells a cycle from an order that is merely wrong."""
    needs = {n.name: [produced_by[i].name for i in n.input if i in produced_by] for n in graph.node}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        cycle = error.args[1]
        shown = " -> ".join(cycle if len(cycle) <= 6 else [*cycle[:3], "...", *cycle[-2:]])
        return EspdlError(
            "the graph is cyclic",
            where=at_node(node.name, node.op_type),
            why=f"each of these nodes needs the one before: {shown}",
        )
    return EspdlError(
        "the nodes are not in running order",
        where=at_node(node.name, node.op_type),
        why=f"input {name!r} comes from node {produced_by[name].name!r}, which stands after it",
    )


def _check_tables(graph: Graph, constants: set[str]) -> None:
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "lut" and isinstance(attribute.value, str) and attribute.value not in constants:
                raise EspdlError(
                    f"table {attribute.value!r} is missing: there is no such constant", where=at_node(node.name, node.op_type)
                )
