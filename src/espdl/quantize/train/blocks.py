"""Cuts a network into blocks that are trained one after the other (quantizer spec 8.6)."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from espdl.quantize.assign import module_of
from espdl.quantize.imported_names import ImportedNames, imported_names
from espdl.quantize.passes.tools import constant
from espdl.quantize.train.executor import KEEPS_INTEGERS, QuantExecutor, Step, outside_reads

LEFT_OUT = ("Softmax", "LogSoftmax")
"""Operators behind a block that do not become part of it: errors are told better in front of them."""


@dataclass(eq=False)
class Block:
    """Some steps of a network that depend on each other and on what lies before them.

    Attributes:
        steps: in execution order.
        is_trained: whether they have weights to learn; otherwise they are only run.
        inputs: tensors read from outside.
        outputs: tensors read outside, or outputs of the network.
        names: what users call the layers.
    """

    steps: list[Step]
    is_trained: bool
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    names: ImportedNames = field(default_factory=ImportedNames)

    @property
    def name(self) -> str:
        """First and last of its layers that have weights, for people."""
        steps = [step for step in self.steps if is_computing(step)] or self.steps
        names = list(dict.fromkeys(self.names.layer(step.name) for step in steps))
        return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def is_computing(step: Step) -> bool:
    """Whether a step multiplies with constant weights."""
    node = step.node
    return (
        module_of(node).quantization.computing
        and len(node.inputs) > 1
        and constant(node.inputs[1]) is not None
        and _is_rounded(step)
    )


def build_blocks(executor: QuantExecutor, block_size: int, interested: Collection[str] = ()) -> list[Block]:
    """All steps of the network, in blocks, in an order in which they can be run.

    A block starts at a layer with weights and goes on along the only way, or up to where all ways meet again, for at most ``block_size``
    nodes in a row; a Softmax ends it. What follows it and has no weights (an Add, an activation, a pooling) belongs to it, too, so that
    it learns by what later layers read.

    Args:
        executor: of the network.
        block_size: largest difference of depth between the first and the last layer of a block.
        interested: names of nodes; only blocks with one of them are trained. All, when empty.
    """
    network = _Network(executor.steps)
    block_of: dict[int, int] = {}
    count = 0
    for index, step in enumerate(executor.steps):
        if index in block_of or not is_computing(step):
            continue
        for member in network.block(index, block_size):
            block_of.setdefault(member, count)
        count += 1
    ordered = _ordered(network, block_of)
    found: list[Block] = []
    unit_of: dict[int, int] = {}
    for members in ordered:
        steps = [executor.steps[index] for index in members]
        trained = any(is_computing(step) for step in steps)
        before = [unit_of[source] for index in members for source in network.sources[index] if source in unit_of]
        if not trained and before and found[max(before)].is_trained and _follows(steps):
            found[max(before)].steps += steps
            unit_of.update(dict.fromkeys(members, max(before)))
            continue
        found.append(Block(steps, trained))
        unit_of.update(dict.fromkeys(members, len(found) - 1))
    chosen, names = set(interested), imported_names(executor.graph.model)
    for block in found:
        block.names = names
        block.is_trained &= not chosen or any(step.name in chosen for step in block.steps)
        block.inputs = outside_reads(block.steps)
    for index, block in enumerate(found):
        later = {name for other in found[index + 1 :] for name in other.inputs} | set(executor.outputs)
        block.outputs = [name for step in block.steps for name, _ in step.writes if name in later]
    return found


def _follows(steps: Sequence[Step]) -> bool:
    """Whether steps without weights belong to the block before them."""
    return all(is_view(step) or (step.node.op_type not in LEFT_OUT and _is_rounded(step)) for step in steps)


def _is_rounded(step: Step) -> bool:
    return any(place is not None for _, place in step.writes)


def is_view(step: Step) -> bool:
    return module_of(step.node).quantization.passive or step.node.op_type in KEEPS_INTEGERS


class _Network:
    """Steps by number, with what they read and what reads them."""

    def __init__(self, steps: Sequence[Step]) -> None:
        writer = {name: index for index, step in enumerate(steps) for name, _ in step.writes}
        self.steps = steps
        self.sources: list[list[int]] = []
        self.variables: list[int] = []
        self.readers: list[list[int]] = [[] for _ in steps]
        self.depth: list[int] = []
        for index, step in enumerate(steps):
            names = [read.name for read in step.reads if read is not None and not read.is_constant]
            sources = list(dict.fromkeys(writer[name] for name in names if name in writer))
            self.sources.append(sources)
            self.variables.append(len(names))
            self.depth.append(1 + max((self.depth[source] for source in sources), default=0))
            for source in sources:
                self.readers[source].append(index)

    def block(self, start: int, size: int) -> list[int]:
        """Numbers of the steps of the block that starts there."""
        end = start
        while True:
            following = self._next(end, self.depth[start] + size)
            if following is None or self.depth[following] - self.depth[start] > size:
                return self._between(start, end)
            if self.steps[following].node.op_type in LEFT_OUT:
                return self._between(start, end)
            end = following

    def _next(self, end: int, deepest: int) -> int | None:
        readers = self.readers[end]
        if not readers:
            return None
        if len(readers) == 1:
            (reader,) = readers
            return reader if self.variables[reader] == 1 and len(self.sources[reader]) == 1 else None
        return self._meeting(readers, deepest)

    def _meeting(self, branches: Sequence[int], deepest: int) -> int | None:
        """The first step that all ways from the branches lead through; None where there is none up to that depth."""
        waiting = [(self.depth[index], index) for index in branches]
        heapq.heapify(waiting)
        seen = set(branches)
        while waiting:
            depth, index = heapq.heappop(waiting)
            if depth > deepest:
                return None
            if not waiting:
                return index if len(self.sources[index]) > 1 else None
            if not self.readers[index]:
                return None
            for reader in self.readers[index]:
                if reader not in seen:
                    seen.add(reader)
                    heapq.heappush(waiting, (self.depth[reader], reader))
        return None

    def _between(self, start: int, end: int) -> list[int]:
        """All steps on ways from one to the other."""
        reached = {start}
        for index in range(start + 1, end + 1):
            if any(source in reached for source in self.sources[index]):
                reached.add(index)
        leading = {end}
        for index in range(end - 1, start - 1, -1):
            if any(reader in leading for reader in self.readers[index]):
                leading.add(index)
        return sorted(reached & leading)


def _ordered(network: _Network, block_of: dict[int, int]) -> list[list[int]]:
    """Members of blocks, and single steps, so that each comes after what it reads. Blocks that wait for each other are taken apart."""
    while True:
        members: dict[tuple[int, int], list[int]] = {}
        for index in range(len(network.steps)):
            key = (0, block_of[index]) if index in block_of else (1, index)
            members.setdefault(key, []).append(index)
        unit = {index: key for key, indices in members.items() for index in indices}
        waits = {key: {unit[s] for i in indices for s in network.sources[i]} - {key} for key, indices in members.items()}
        first = {key: indices[0] for key, indices in members.items()}
        ready = [(first[key], key) for key, others in waits.items() if not others]
        heapq.heapify(ready)
        readers: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for key, others in waits.items():
            for other in others:
                readers.setdefault(other, []).append(key)
        ordered = []
        while ready:
            _, key = heapq.heappop(ready)
            ordered.append(members[key])
            for reader in readers.get(key, ()):
                waits[reader].discard(key)
                if not waits[reader]:
                    heapq.heappush(ready, (first[reader], reader))
        stuck = [key for key, others in waits.items() if others and key[0] == 0]
        if len(ordered) == len(members):
            return ordered
        for key in stuck:
            for index in members[key]:
                del block_of[index]
