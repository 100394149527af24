"""How good a memory plan is, and what internal RAM would do for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from espdl.alignment import ALIGNMENT, round_up
from espdl.dl.memory import MemoryPlan, TensorInfo
from espdl.dl.plan import PlannedTensor, simulate

CANDIDATES = 48
"""Sizes of internal RAM that a search tries before it looks closer."""


def own_tensors(plan: MemoryPlan) -> list[PlannedTensor]:
    """The tensors of a plan that have a place of their own, in index order."""
    return [tensor for tensor in plan.tensors.values() if tensor.leader is None]


def live_bytes(plan: MemoryPlan, steps: int) -> list[int]:
    """Bytes, each tensor rounded up to 16, that hold something during every step: no arena can be smaller than the largest of them."""
    live = [0] * steps
    for tensor in own_tensors(plan):
        for step in range(tensor.begin, steps if tensor.end < 0 else min(tensor.end, steps)):
            live[step] += round_up(tensor.size)
    return live


@dataclass(frozen=True)
class Split:
    """Arenas in bytes for one ``max_internal_size``: ``internal`` is what is really used of it."""

    max_internal_size: int
    internal: int
    psram: int


def split(plan: MemoryPlan, steps: int, max_internal_size: int) -> Split:
    """What the planner does with the tensors of ``plan`` for another ``max_internal_size`` (spec 5.2 step C)."""
    infos = [
        TensorInfo(tensor.name, tensor.begin, tensor.end, tensor.shape, tensor.dtype, tensor.exponent)
        for tensor in own_tensors(plan)
    ]
    _, psram = simulate(infos, steps, max_internal_size)
    ends = [info.get_internal_offset() + round_up(info.get_size()) for info in infos if info.get_internal_state()]
    return Split(max_internal_size, min(max(ends, default=0), max_internal_size), psram)


@dataclass(frozen=True)
class InternalRam:
    """What internal RAM does for a model.

    Attributes:
        least: the smallest ``max_internal_size`` found that makes the PSRAM arena smaller; None where none does.
        whole: the smallest found that needs no PSRAM arena; None where that is more than was looked at.
        best: within the limit looked at, the one with the smallest PSRAM arena.
    """

    least: Split | None
    whole: Split | None
    best: Split


def search(plan: MemoryPlan, steps: int, limit: int) -> InternalRam:
    """Tries sizes of internal RAM up to ``limit`` bytes.

    What fits depends on sums of sizes of tensors, and more RAM may even make a worse plan. So the sizes of tensors and of what lives
    together are tried, and where two neighbours differ the boundary between them is halved down to 16 bytes.
    """
    without = split(plan, steps, 0)
    sizes = (
        {round_up(tensor.size) for tensor in own_tensors(plan)} | set(live_bytes(plan, steps)) | {limit // ALIGNMENT * ALIGNMENT}
    )
    tried = [split(plan, steps, size) for size in _thinned(sorted(size for size in sizes if ALIGNMENT < size <= limit))]
    found = [without, *tried]
    least = _boundary(plan, steps, found, lambda candidate: candidate.psram < without.psram)
    whole = _boundary(plan, steps, found, lambda candidate: candidate.psram == 0) if without.psram else without
    return InternalRam(least, whole, min(found, key=lambda candidate: (candidate.psram, candidate.max_internal_size)))


def _boundary(plan: MemoryPlan, steps: int, found: Sequence[Split], holds: Callable[[Split], bool]) -> Split | None:
    index = next((index for index, candidate in enumerate(found) if holds(candidate)), 0)
    if not index:
        return None
    low, best = found[index - 1].max_internal_size, found[index]
    while best.max_internal_size - low > ALIGNMENT:
        middle = split(plan, steps, round_up((low + best.max_internal_size) // 2))
        if middle.max_internal_size >= best.max_internal_size:
            break
        if holds(middle):
            best = middle
        else:
            low = middle.max_internal_size
    return best


def _thinned(sizes: list[int]) -> list[int]:
    if len(sizes) <= CANDIDATES:
        return sizes
    return [sizes[index * (len(sizes) - 1) // (CANDIDATES - 1)] for index in range(CANDIDATES)]
