"""Chooses the factors of one group of tensors: the smallest expected noise, with exponents that are powers of two."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from espdl.quantize.balance.layers import Vector

MOVES = 60
NEGLIGIBLE = 1e-30


@dataclass(frozen=True)
class Demands:
    """What the factors ``f`` of a group have to suit, per channel.

    The group's activations are stored with exponent 0: integers that span ``span``. The weights of writer i have exponent e_i, those of
    reader j exponent d_j, and the noise to be made small is ::

        sum_c  activation_c / f_c**2  +  sum_i 4**e_i writer_ic / f_c**2  +  sum_j 4**d_j reader_jc f_c**2

    Attributes:
        top: the largest integer.
        span: what the activations may fill; more than ``top`` where they are shifted afterwards.
        largest: [channels], of the activations.
        bound: where the activations are cut off; None where they are not.
        reached: [channels], those that reach it.
        activation, writers, readers: factors of the formula; [channels], [writers, channels], [readers, channels].
        writer_largest: [writers, channels], the largest weight of each output channel; zero where every channel has its own exponent.
        writer_bias: [writers, channels], |bias| over its largest integer times the step of the writer's input.
        reader_largest: [readers, channels], the largest weight of each input channel.
    """

    top: float
    span: float
    largest: Vector
    bound: float | None
    reached: NDArray[np.bool_]
    activation: Vector
    writers: NDArray[np.float64]
    readers: NDArray[np.float64]
    writer_largest: NDArray[np.float64]
    writer_bias: NDArray[np.float64]
    reader_largest: NDArray[np.float64]


def choose_factors(demands: Demands) -> Vector | None:
    """The factors of least noise, None where no factors suit all demands.

    For given exponents the best factor of a channel is ``(noise that falls / noise that grows) ** (1/4)``, limited by what its
    activations, weights and biases leave room for; channels that reach ``bound`` all have ``span / bound``, so that the saturation of
    integers cuts them off. The exponents are found by steps of 1, of one or two at a time, as long as that helps.
    """
    limits = demands.span / demands.largest
    reached = demands.reached
    if demands.bound is not None:
        limits[reached] = demands.span / demands.bound
    exponents = _start(demands, np.full(len(limits), limits.min()))
    writers = len(demands.writers)
    free = [i for i in range(len(exponents)) if i >= writers or demands.writer_largest[i].any()]
    moves = _moves(free, len(exponents))
    for _ in range(MOVES):
        candidates = exponents + moves
        cost, factors = _evaluate(demands, limits, reached, candidates)
        winner = int(np.argmin(cost))
        if not cost[winner] < cost[0] * (1 - 1e-6):
            break
        exponents = candidates[winner]
    return factors[0] if np.isfinite(cost[0]) else None


def _start(demands: Demands, factors: Vector) -> NDArray[np.float64]:
    """The smallest exponents at which nothing is clipped with ``factors``."""
    needed = [
        np.maximum(largest * factors / demands.top, bias * factors).max()
        for largest, bias in zip(demands.writer_largest, demands.writer_bias, strict=True)
    ]
    needed += [(largest / factors).max() / demands.top for largest in demands.reader_largest]
    return np.ceil(np.log2(np.maximum(needed, NEGLIGIBLE)) + 1e-9)


def _moves(free: list[int], count: int) -> NDArray[np.float64]:
    """No step, and steps of one exponent, and of two."""
    moves: list[dict[int, int]] = [{}]
    for i in free:
        moves += [{i: 1}, {i: -1}]
    for i, j in combinations(free, 2):
        moves += [{i: 1, j: 1}, {i: 1, j: -1}, {i: -1, j: 1}, {i: -1, j: -1}]
    table = np.zeros((len(moves), count))
    for row, move in zip(table, moves, strict=True):
        for place, step in move.items():
            row[place] = step
    return table


def _evaluate(
    demands: Demands, limits: Vector, reached: NDArray[np.bool_], exponents: NDArray[np.float64]
) -> tuple[Vector, NDArray[np.float64]]:
    """Noise [candidates] and factors [candidates, channels] for exponents [candidates, writers + readers]; infinite where none suit."""
    writers = len(demands.writers)
    steps = 2.0**exponents
    squares = steps**2
    falling = demands.activation + squares[:, :writers] @ demands.writers + NEGLIGIBLE
    growing = squares[:, writers:] @ demands.readers + NEGLIGIBLE
    upper = np.broadcast_to(limits, falling.shape)
    lower = np.zeros_like(falling)
    for i in range(writers):
        if demands.writer_largest[i].any():
            room = np.maximum(demands.writer_largest[i] / demands.top, demands.writer_bias[i])
            upper = np.minimum(upper, steps[:, i, None] / np.maximum(room, NEGLIGIBLE))
    for j, largest in enumerate(demands.reader_largest):
        lower = np.maximum(lower, largest / (demands.top * steps[:, writers + j, None]))
    factors = np.minimum(np.maximum(np.sqrt(np.sqrt(falling / growing)), lower), upper)
    fits = (factors >= lower * (1 - 1e-9)).all(axis=1) & (upper[:, reached] >= limits[reached] * (1 - 1e-9)).all(axis=1)
    factors[:, reached] = limits[reached]
    fits &= (factors >= lower * (1 - 1e-9)).all(axis=1)
    noise = (falling / factors**2 + growing * factors**2).sum(axis=1)
    return np.where(fits, noise, np.inf), factors
