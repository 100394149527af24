"""Factors between layers that learn: one per channel, by what rounding does to the network's outputs.

Between two layers a channel can be made larger, and what reads it smaller, without a change of what the network computes. That decides how
much of the channel is left in 8 bits. Where most channels are lost, gradients through rounded tensors are noise and lead nowhere. So
factors learn by the error that is to be expected, which the float network tells: rounding to steps of s adds s**2 / 12 to the mean
square of a number, and to that of the outputs as much times the square of their derivative by it. A step follows from the largest number
of its tensor, so each factor has a say in the noise of all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from espdl.quantize.balance.groups import Group
from espdl.quantize.train.optimizer import Adam, Trained

LEARNING_RATE = 0.1
"""Of the logarithms of factors to base 2."""


@dataclass(frozen=True)
class Noise:
    """What rounding one tensor or one weight adds to the outputs' mean squared error.

    Attributes:
        largest: magnitudes before factors, [channels] or [outputs, inputs]; [channels, 1] of a depthwise weight.
        effect: sum of the squared derivatives of the outputs by all numbers there, in the same shape.
        bits: of the integers.
        rows: place of the group whose factors multiply the first axis; None without.
        columns: place of the group whose factors divide the second axis, or the first of a depthwise weight; None without.
        per_row: each row has a step of its own.
    """

    largest: torch.Tensor
    effect: torch.Tensor
    bits: int
    rows: int | None = None
    columns: int | None = None
    per_row: bool = False

    def __call__(self, gains: Sequence[torch.Tensor]) -> torch.Tensor:
        """With the logarithms of the factors of all groups."""
        logs = torch.zeros_like(self.largest)
        if self.rows is not None:
            logs = logs + (gains[self.rows] if logs.ndim == 1 else gains[self.rows][:, None])
        if self.columns is not None:
            divided = gains[self.columns]
            logs = logs - (divided[:, None] if logs.shape[1] == 1 else divided)
        factors = torch.exp2(logs)
        held = self.largest * factors
        step = (held.amax(-1, keepdim=True) if self.per_row else held.amax()) * 2.0 ** (1 - self.bits)
        return (self.effect * (step / factors).square()).sum() / 12


@dataclass
class Problem:
    """What factors are to make small, and how far they can go.

    Attributes:
        groups: tensors between layers, which factors are for.
        highest: of each group the largest logarithms to base 2, [channels]; where it is 0 the factor stays 1.
        terms: of the expected error.
    """

    groups: list[Group]
    highest: list[torch.Tensor] = field(default_factory=list)
    terms: list[Noise] = field(default_factory=list)

    def error(self, gains: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean squared error of the outputs that rounding these tensors and weights makes, to be expected."""
        return torch.stack([term(gains) for term in self.terms]).sum()


def learned_gains(problem: Problem, steps: int) -> list[NDArray[np.float64]]:
    """Factors of the channels of every group: those of least expected error that were met in ``steps`` updates, all 1 at first."""
    gains = [torch.zeros_like(highest) for highest in problem.highest]
    adam = Adam([Trained(gain, LEARNING_RATE) for gain in gains], steps)
    best, lowest = [gain.clone() for gain in gains], float("inf")
    for update in range(steps + 1):
        for gain in gains:
            gain.requires_grad_(update < steps)
        error = problem.error(gains)
        value = float(error.detach())
        if value < lowest:
            best, lowest = [gain.detach().clone() for gain in gains], value
        if update < steps and value > 0:
            error.log().backward()  # an error is made smaller by shares, wherever it starts
            adam.step()
            with torch.no_grad():
                for gain, highest in zip(gains, problem.highest, strict=True):
                    gain.copy_(torch.where(highest > 0, torch.minimum(gain, highest), 0.0))
    return [np.exp2(gain.double().cpu().numpy()) for gain in best]
