"""From bound operators to the flat list that a run walks: fused where bits allow, joined into as few calls as possible.

There is one fusion: a step that is nothing but a table of int8 values joins the step that makes those values, when nobody else reads
them. It covers a table after Conv, Gemm, Add, Sub or Mul (Swish, Relu, Requantize, ... are tables on integers) and one table after
another. The fused step writes the later output at the time of the earlier step; that is done only where nothing lies there that is read
or written in the meantime, and never in a memory plan with hazards, where the order of the chip's writes shows in its results.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base import Kernels, Step
from espdl.dl.base.steps import NOTHING, BoundStep


@dataclass(frozen=True)
class BoundOperator:
    """An operator and its step.

    Attributes:
        step: what :meth:`espdl.dl.module.base.Module.bind` returned.
        reads: names of the variables it reads, one entry per use.
        writes: names of the variables it produces.
    """

    step: Step
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class Program:
    """A model's steps as one flat list.

    Attributes:
        absent: names of variables that a run does not produce, because the steps around them are fused.
    """

    def __init__(self, steps: Sequence[Step], kernels: Kernels, absent: frozenset[str]) -> None:
        self.absent = absent
        self._joined = kernels.join(steps)

    @property
    def calls(self) -> int:
        """Calls that a run makes from Python."""
        return len(self._joined.alone)

    def run(self, *, pooled: bool) -> None:
        """Walks the list: on the threads of the backend, or on this one only."""
        joined = self._joined
        if joined.is_native:
            for step in joined.pooled if pooled else joined.alone:
                step()
            return
        with np.errstate(all="ignore"):
            for step in joined.pooled if pooled else joined.alone:
                step()


def compile_steps(
    operators: Sequence[BoundOperator],
    arrays: Mapping[str, NDArray],
    outputs: frozenset[str],
    kernels: Kernels,
    *,
    may_fuse: bool,
) -> Program:
    """Makes the flat list.

    Args:
        operators: in running order.
        arrays: memory of every variable.
        outputs: names of variables that must be produced: the model's outputs.
        kernels: of the backend.
        may_fuse: whether variables that are no outputs may be left out.
    """
    if not may_fuse:
        return Program([operator.step for operator in operators], kernels, frozenset())
    places = _places(operators)
    readers = Counter(places[name] for operator in operators if operator.step is not NOTHING for name in operator.reads)
    kept = {places.get(name, name) for name in outputs}
    groups: list[_Group] = []
    makers: dict[str, int] = {}
    for operator in operators:
        if operator.step is NOTHING:
            continue
        group = _Group(operator, places)
        made = {places[name] for name in operator.reads} & makers.keys()
        place = made.pop() if len(made) == 1 else ""
        if place and readers[place] == 1 and place not in kept:
            maker = makers[place]
            if groups[maker].takes(group, groups[maker + 1 :], arrays):
                makers[group.place] = maker
                continue
        makers[group.place] = len(groups)
        groups.append(group)
    absent = frozenset(name for group in groups for place in group.absent for name in places if places[name] == place)
    return Program([group.step for group in groups], kernels, absent)


def _places(operators: Sequence[BoundOperator]) -> dict[str, str]:
    """The variable that every variable shows: itself, or the one that a step of nothing gives another name."""
    places: dict[str, str] = {}
    for operator in operators:
        for name in operator.reads:
            places.setdefault(name, name)
        for name in operator.writes:
            places[name] = places[operator.reads[0]] if operator.step is NOTHING else name
    return places


@dataclass
class _Group:
    """Operators that became one step.

    Attributes:
        step: the step.
        place: the variable it produces, "" when there is not exactly one.
        absent: variables it no longer produces.
    """

    operator: BoundOperator
    places: Mapping[str, str]
    absent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.step = self.operator.step
        self.place = self.operator.writes[0] if len(self.operator.writes) == 1 else ""

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of the variables it reads and produces."""
        return (*self.operator.reads, *(self.operator.writes if len(self.operator.writes) != 1 else (self.place,)))

    def takes(self, follower: _Group, between: Sequence[_Group], arrays: Mapping[str, NDArray]) -> bool:
        """Takes the follower in, when it is a table of what this group produces; tells whether it did."""
        step, table = self.step, follower.step
        if not (isinstance(step, BoundStep) and isinstance(table, BoundStep)) or step.then_table is None or table.table is None:
            return False
        if not self.place or not follower.place:
            return False
        if table.source is None or not _same_bytes(table.source, arrays[self.place]):
            return False
        out, own = arrays[follower.place], arrays[self.operator.writes[0]]
        if not _same_bytes(out, own):
            used = [*self.operator.reads, *(name for group in between for name in group.uses)]
            if any(np.may_share_memory(out, arrays[name]) for name in used):
                return False
        self.step = step.then_table(table.table, out)
        self.absent.append(self.place)
        self.place = follower.place
        return True


def _same_bytes(a: NDArray, b: NDArray) -> bool:
    return bool(a.__array_interface__["data"][0] == b.__array_interface__["data"][0] and a.nbytes == b.nbytes)
