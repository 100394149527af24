"""An independent check of a memory plan: follows every byte through a run and reports what is overwritten before it is used.

It knows nothing of how plans are made. The chip's own rules leave such cases (runtime spec 5.2): a view of a tensor does not protect it
from an operator that works in place on the view, nor does a view that is a graph output keep its memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING

from espdl.dtypes import Inplace

if TYPE_CHECKING:
    from espdl.dl.plan import MemoryPlan, PlanGraph, PlannedTensor, PlanNode


class Hazard(str):
    """A sentence about a tensor that does not hold what it should when it is used.

    Attributes:
        tensor: its name.
    """

    __slots__ = ("tensor",)
    tensor: str

    def __new__(cls, tensor: str, text: str) -> Hazard:
        hazard = super().__new__(cls, text)
        hazard.tensor = tensor
        return hazard


def find_hazards(graph: PlanGraph, plan: MemoryPlan) -> Iterator[Hazard]:
    """What goes wrong when ``graph`` runs in the memory of ``plan``; nothing when all is well."""
    tensors = plan.tensors
    intact = [tensors[name] for name in graph.inputs if name in tensors]
    lost: dict[str, str] = {}
    reported: set[str] = set()
    for first, second in combinations(intact, 2):
        if first.overlaps(second):
            yield Hazard(first.name, f"inputs {first.name!r} and {second.name!r} lie in the same memory")
    for node in graph.nodes:
        for name in dict.fromkeys(node.inputs):
            if name in lost and name not in reported:
                reported.add(name)
                yield Hazard(name, f"{name!r} is overwritten by {lost[name]} before node {node.name!r} reads it")
        produced = [tensors[name] for name in node.outputs if name in tensors]
        read = [tensors[name] for name in dict.fromkeys(node.inputs) if name in tensors and name not in lost]
        yield from _inside_node(node, read, produced)
        for tensor in produced:
            source = _shown(node, tensor, tensors)
            if source is None:
                for other in intact:
                    if tensor.overlaps(other):
                        lost[other.name] = f"{tensor.name!r} (node {node.name!r})"
            elif source.name in lost:
                lost[tensor.name] = lost[source.name]
                reported.add(tensor.name)
            intact = [other for other in (*intact, tensor) if other.name not in lost]
    for name in graph.outputs:
        if name in lost and name not in reported:
            yield Hazard(name, f"output {name!r} is overwritten by {lost[name]} before the run ends")


def _shown(node: PlanNode, tensor: PlannedTensor, tensors: Mapping[str, PlannedTensor]) -> PlannedTensor | None:
    """The input whose bytes ``tensor`` shows without changing them; None when it has bytes of its own."""
    source = tensors.get(node.inputs[0]) if node.inputs else None
    if node.inplace is not Inplace.UNCHANGED_BUFFER or source is None:
        return None
    same_values = source.dtype is tensor.dtype and source.exponent == tensor.exponent and source.size >= tensor.size
    return source if same_values and _same_start(source, tensor) else None


def _same_start(one: PlannedTensor, other: PlannedTensor) -> bool:
    return one.internal == other.internal and one.offset == other.offset


def _inside_node(node: PlanNode, read: list[PlannedTensor], produced: list[PlannedTensor]) -> Iterator[Hazard]:
    """What goes wrong while ``node`` itself runs."""
    for first, second in combinations(produced, 2):
        if first.overlaps(second):
            yield Hazard(first.name, f"outputs {first.name!r} and {second.name!r} of node {node.name!r} lie in the same memory")
    for out in produced:
        shared = [tensor for tensor in read if tensor.overlaps(out)]
        in_place = node.inplace is not Inplace.NON_INPLACE and len(node.outputs) == 1
        for tensor in shared:
            if not in_place or not _same_start(tensor, out):
                yield Hazard(tensor.name, f"node {node.name!r} writes {out.name!r} over its input {tensor.name!r}")
            elif prod(out.shape) > prod(tensor.shape):
                text = f"node {node.name!r} repeats {tensor.name!r} in place: the chip reads elements that it has overwritten"
                yield Hazard(tensor.name, text)
