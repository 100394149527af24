"""Which units go to 16 bits: the best noise for its time first, until the budget is used up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.mixed.costs import Costs
from espdl.quantize.mixed.noise import Noise
from espdl.quantize.mixed.parts import Held, Unit

WORTH = 1e-3
"""Share of the noise that a step must take away."""
LEAST = 1e-4
"""Steps are ranked as if each took this share of the whole time, at least: estimates of less mean nothing."""

Vector = NDArray[np.float64]


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


@dataclass(frozen=True)
class Budget:
    """What may be added: microseconds, and bytes of parameters and tensors together."""

    us: float
    room: float = math.inf


POWERS = (1.0, 0.75, 0.5, 0.25)
"""Of the time that a step's noise is divided by to rank it: with less than 1, large steps come before many small ones, which can leave a
budget better used."""


def choose(
    units: Sequence[Unit], tensors: Sequence[Held], noise: Noise, costs: Costs, budget: Budget, least_noise: float = 0.0
) -> list[Choice]:
    """The steps, the best first.

    A tensor keeps its digits only when all that write and read it run in 16 bits, so a step is all units around one tensor that are not
    there yet, or one unit for its weights. Each step is the one with the most noise taken away for its time, of those that the budget has
    room for, with all that it completes and the conversions that it adds or saves. Time is weighed in several ways (:data:`POWERS`): what
    leaves the least noise counts, or of those that reach ``least_noise`` the fastest.

    Args:
        units, tensors, noise, costs: of the network in 8 bits.
        budget: see there.
        least_noise: no step follows once the noise is below.
    """
    sums = _Sums(units, tensors, noise, costs)
    moves = _moves(units, sums.around)
    if not len(moves):
        return []
    total = sum(noise.tensors) + sum(noise.parameters)
    ways = [_steps(sums, moves, total, costs.narrow, budget, least_noise, power) for power in POWERS]

    def outcome(steps: list[Choice]) -> tuple[float, float]:
        left = total - sum(step.noise for step in steps)
        return max(left, least_noise), sum(step.us for step in steps)

    return min(ways, key=outcome)


def _steps(
    sums: _Sums, moves: Vector, total: float, narrow_us: float, budget: Budget, least_noise: float, power: float
) -> list[Choice]:
    left, wide = total, np.zeros((1, moves.shape[1]))
    now = sums.of(wide)
    steps: list[Choice] = []
    while left > least_noise:
        after = np.maximum(moves, wide)
        removed, us, size = sums.of(after)
        gain, more = removed - now[0], us - now[1]
        fits = (after.sum(axis=1) > wide.sum()) & (gain >= WORTH * total) & (us <= budget.us) & (size <= budget.room)
        if not fits.any():
            break
        rank = np.where(fits, gain / np.maximum(more, LEAST * narrow_us) ** power, -np.inf)
        best = int(np.argmax(rank))
        places = np.flatnonzero(after[best] > wide[0])
        steps.append(Choice(tuple(int(place) for place in places), float(gain[best]), float(more[best])))
        wide, left = after[best : best + 1], left - float(gain[best])
        now = removed[best : best + 1], us[best : best + 1], size[best : best + 1]
    return steps


def _moves(units: Sequence[Unit], around: NDArray[np.bool_]) -> Vector:
    """Every set of free units around a tensor, and every free unit, once: [moves, units]."""
    free = np.array([unit.is_free for unit in units], bool)
    sets = [tuple(map(int, np.flatnonzero(row))) for row in around if row.any() and not (row & ~free).any()]
    sets += [(int(place),) for place in np.flatnonzero(free)]
    found = np.zeros((len(set(sets)), len(units)))
    for row, places in zip(found, sorted(set(sets)), strict=True):
        row[list(places)] = 1
    return found


class _Sums:
    """What follows when some units run in 16 bits, for many such sets at once."""

    def __init__(self, units: Sequence[Unit], tensors: Sequence[Held], noise: Noise, costs: Costs) -> None:
        places = {id(unit): place for place, unit in enumerate(units)}
        self.around = np.zeros((len(tensors), len(units)), bool)
        alive = np.zeros((len(units), len(tensors)), bool)
        for row, held in enumerate(tensors):
            touching = [places[id(unit)] for unit in held.units]
            self.around[row, touching] = True
            alive[(0 if held.writer is None else min(touching)) : max(touching) + 1, row] = True
        sizes = np.array([held.size for held in tensors], dtype=np.float64)
        self._at_hand = self.around.T @ sizes
        self._waiting = (alive & ~self.around.T) * sizes
        self._peak = float((self._at_hand + self._waiting.sum(axis=1)).max(initial=1.0))
        is_converted = [held.writer is not None or len(held.units) > 1 for held in tensors]
        self._noise, self._parameters = np.array(noise.tensors), np.array(noise.parameters)
        self._more, self._bytes = np.array(costs.more), np.array(costs.parameters, dtype=np.float64)
        self._conversions = np.array(costs.conversions) * is_converted
        self._arena = costs.arena

    def of(self, wide: Vector) -> tuple[Vector, Vector, Vector]:
        """For sets [sets, units], each [sets]: the noise taken away, and microseconds and bytes of memory that are added."""
        touching = wide @ self.around.T.astype(np.float64)
        all_wide = touching == self.around.sum(axis=1)
        mixed = (touching > 0) & ~all_wide
        removed = all_wide @ self._noise + wide @ self._parameters
        us = wide @ self._more + mixed @ self._conversions
        # While a unit runs, what it reads and writes has its width.
        peak = ((1 + wide) * self._at_hand + (1 + all_wide) @ self._waiting.T).max(axis=1, initial=0.0)
        size = wide @ self._bytes + self._arena * (peak / self._peak - 1)
        return removed, us, size


def decibels(share: float) -> float:
    """SNR of a share of noise."""
    return math.inf if share <= 0 else -10 * math.log10(share)
