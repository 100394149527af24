"""Which units go to 16 bits: the best noise for its time first, until the budget is used up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from espdl.quantize.mixed.noise import Noise
from espdl.quantize.mixed.parts import Held, Unit
from espdl.quantize.mixed.time import Times

WORTH = 1e-3
"""Share of the noise that a step must take away."""
LEAST = 1e-4
"""Steps are ranked as if each took this share of the whole time, at least: estimates of less mean nothing."""


@dataclass(frozen=True)
class Choice:
    """Units that go to 16 bits in one step.

    Attributes:
        units: their places.
        noise: what they take away, as :class:`espdl.quantize.mixed.noise.Noise` counts it.
        us: what they take more.
    """

    units: tuple[int, ...]
    noise: float
    us: float


def choose(
    units: Sequence[Unit],
    tensors: Sequence[Held],
    noise: Noise,
    times: Times,
    budget_us: float,
    room: float = math.inf,
    least_noise: float = 0.0,
) -> list[Choice]:
    """The steps, the best first.

    A tensor keeps its digits only when all that write and read it run in 16 bits, so a step is all units around one tensor that are not
    there yet, or one unit for its weights. Each step is the one with the most noise taken away for its time, of those that the budget has
    room for, with all that it completes and the conversions that it adds or saves.

    Args:
        units, tensors, noise, times: of the network in 8 bits.
        budget_us: microseconds that may be added.
        room: bytes that parameters may take more.
        least_noise: no step follows once the noise is below.
    """
    places = {id(unit): place for place, unit in enumerate(units)}
    around = [frozenset(places[id(unit)] for unit in held.units) for held in tensors]
    writers = [None if held.writer is None else places[id(held.writer)] for held in tensors]
    free = {place for place, unit in enumerate(units) if unit.is_free}
    moves = sorted({tuple(sorted(group)) for group in around if group and group <= free} | {(place,) for place in free})
    left = total = sum(noise.tensors) + sum(noise.parameters)
    wide: frozenset[int] = frozenset()
    spent = _time(wide, around, writers, times)
    steps: list[Choice] = []
    while left > least_noise:
        best: tuple[float, Choice] | None = None
        for move in moves:
            new = frozenset(move) - wide
            if not new:
                continue
            after = wide | new
            gain = _removed(after, around, noise) - _removed(wide, around, noise)
            more = _time(after, around, writers, times) - spent
            size = sum(times.parameters[place] for place in after)
            if gain < WORTH * total or spent + more > budget_us or size > room:
                continue
            rank = gain / max(more, LEAST * times.narrow)
            if best is None or rank > best[0]:
                best = (rank, Choice(tuple(sorted(new)), gain, more))
        if best is None:
            break
        step = best[1]
        steps.append(step)
        wide |= frozenset(step.units)
        spent += step.us
        left -= step.noise
    return steps


def decibels(share: float) -> float:
    """SNR of a share of noise."""
    return math.inf if share <= 0 else -10 * math.log10(share)


def _removed(wide: frozenset[int], around: Sequence[frozenset[int]], noise: Noise) -> float:
    kept = sum(share for group, share in zip(around, noise.tensors, strict=True) if group and group <= wide)
    return kept + sum(noise.parameters[place] for place in wide)


def _time(wide: frozenset[int], around: Sequence[frozenset[int]], writers: Sequence[int | None], times: Times) -> float:
    """What the units take more in 16 bits, and one conversion of each tensor that has two widths."""
    converted = sum(
        us
        for group, writer, us in zip(around, writers, times.conversions, strict=True)
        if not (group <= wide or group.isdisjoint(wide)) and (writer is not None or len(group) > 1)
    )
    return converted + sum(times.more[place] for place in wide)
