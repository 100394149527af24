"""Copies where a view of a tensor would cost its source, or the view itself, the memory they share (runtime spec 5.2).

A Reshape shows the bytes of its input. The chip's planner protects neither the input from an operator that works in place on the view,
nor a view that is an output of the network when the input is read once more. A file is written so that this never happens.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from espdl.chips import Chip
from espdl.dl.base import get_kernels
from espdl.dl.context import ModelContext
from espdl.dl.hazards import Hazard
from espdl.dl.machine import Machine
from espdl.dl.memory import plan, read_graph
from espdl.dl.module.base import MODULE_TYPES
from espdl.dl.operators import create_operators
from espdl.dtypes import Arithmetic, Inplace
from espdl.fbs import FbsLoader, records, wrap_model, write_model

_COPY = "Transpose"
"""Of the operators that leave every element where it is, the one whose result has memory of its own."""


def separate_views(record: records.Model, chip: Chip) -> list[str]:
    """Adds copies before views until no tensor is overwritten before it is used.

    Args:
        record: a model without test values; it is changed.
        chip: what it is for.

    Returns:
        What could not be helped, one sentence each.
    """
    copies: set[str] = set()
    while _is_shared(record.graph):
        hazards = _hazards(record, chip)
        added = {_separate(record.graph, hazard.tensor, copies) for hazard in hazards} - {""}
        if not added:
            return [str(hazard) for hazard in hazards]
        copies |= added
    return []


def _is_shared(graph: records.Graph) -> bool:
    """Whether a view or the tensor that it shows is read a second time: without that, nothing is lost when one is overwritten."""
    readers = Counter([name for node in graph.node for name in node.input] + [value.name for value in graph.output])
    return any(readers[name] > 1 for node in graph.node if _is_view(node) for name in (*node.input[:1], *node.output))


def _hazards(record: records.Model, chip: Chip) -> tuple[Hazard, ...]:
    model = FbsLoader(wrap_model(write_model(record))).load()
    context = ModelContext(Machine(chip, Arithmetic.REFERENCE, get_kernels()))
    modules = [operator.module for operator in create_operators(model, context)]
    return plan(read_graph(model, modules, context)).hazards


def _separate(graph: records.Graph, tensor: str, copies: set[str]) -> str:
    """Lets a view of ``tensor``, or ``tensor`` if it is a view, be one of a copy; returns the name of the copy, "" if there is no view."""
    views = [node for node in graph.node if _is_view(node) and node.input[0] not in copies]
    views = [node for node in views if node.input[0] == tensor] or [node for node in views if tensor in node.output]
    if not views:
        return ""
    view = views[0]
    source = next(value for value in (*graph.value_info, *graph.input) if value.name == view.input[0])
    taken = {node.name for node in graph.node} | {value.name for value in graph.value_info}
    name = next(name for n in range(len(taken) + 1) if (name := f"{source.name}/copy" + (f"_{n}" if n else "")) not in taken)
    order = records.Attribute("perm", list(range(len(source.shape or ()))))
    kept = [attribute for attribute in view.attribute if attribute.name == "quant_type"]
    graph.node.insert(graph.node.index(view), records.Node(_COPY, name, [source.name], [name], [order, *kept]))
    graph.value_info.append(replace(source, name=name))
    view.input = [name, *view.input[1:]]
    return name


def _is_view(node: records.Node) -> bool:
    return MODULE_TYPES[node.op_type].default_inplace is Inplace.UNCHANGED_BUFFER
