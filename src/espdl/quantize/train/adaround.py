"""Rounding that is learned: each weight goes up or down, by what the outputs say.

Nagel, Amjad, van Baalen, Louizos and Blankevoort, "Up or Down? Adaptive Rounding for Post-Training Quantization" (ICML 2020), in the
way of "BRECQ" (Li and others, 2021), for all layers of a block at once; quantizer spec 8.10. A weight is ``(low + h(v)) * s`` with its
lower integer ``low``, its scale ``s`` and ``h`` from 0 to 1; a regulariser drives every ``h`` to an end, late enough for the outputs to
have decided to which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from espdl.quantize.train.fake_quant import Grid, round_integers_

ZETA, GAMMA = 1.1, -0.1
"""Ends of the stretched sigmoid, which is cut off at 0 and 1: both are reached at finite ``v``."""

FIRST_BETA, LAST_BETA = 20.0, 2.0
"""Powers of the regulariser: a high one is flat but near the ends, a low one pushes from the middle."""

WARM_UP = 0.2
"""Share of the updates without regulariser."""

LEAST = 1e-3
"""Distance of ``v`` from 0 at the start, so that its sign says where the weight was rounded to."""


def rectified_sigmoid(v: torch.Tensor) -> torch.Tensor:
    """``h(v) = clip(sigmoid(v) * (zeta - gamma) + gamma, 0, 1)`` (Nagel and others, equation 23)."""
    return torch.clamp(torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)


def inverse_sigmoid(h: torch.Tensor) -> torch.Tensor:
    """The ``v`` nearest to 0 with ``rectified_sigmoid(v) = h``, for ``h`` from 0 to 1."""
    return torch.logit((h - GAMMA) / (ZETA - GAMMA))


def regulariser(h: torch.Tensor, beta: float) -> torch.Tensor:
    """``sum(1 - |2 h - 1|**beta)``: 0 where every ``h`` is 0 or 1 (equation 24)."""
    return (1.0 - (2.0 * h - 1.0).abs().pow(beta)).sum()


def annealed_beta(step: int, steps: int) -> float | None:
    """The power in update ``step`` of ``steps``; None while it warms up.

    Behind ``WARM_UP * steps`` updates it falls from ``FIRST_BETA`` to ``LAST_BETA``, which the last update has, along half a cosine.
    """
    first = math.ceil(WARM_UP * steps)
    if step < first:
        return None
    way = (step - first) / max(steps - 1 - first, 1)
    return LAST_BETA + (FIRST_BETA - LAST_BETA) * 0.5 * (1.0 + math.cos(math.pi * way))


@dataclass(eq=False)
class SoftRounding:
    """A weight between two neighbouring integers per element.

    Attributes:
        v: says where between them; a leaf in the weight's shape.
        low: the lower integers, as real numbers.
        unit: the scale, in a shape that broadcasts against them.
    """

    v: torch.Tensor
    low: torch.Tensor
    unit: torch.Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, weight: torch.Tensor, original: torch.Tensor, unit: torch.Tensor, grid: Grid, firmness: float) -> SoftRounding:
        """Starts from the integers that a weight is rounded to now: as long as nothing learns, these are what it stays.

        One of the two integers is the present one. The other lies on the far side of the weight's real value; of a weight that is an
        integer already, having been rounded by what errors do together, on the side of its original value.

        Args:
            weight: real values as they are to be rounded.
            original: real values before anything rounded them.
            unit: one step of the integers.
            grid: their width and rounding.
            firmness: where between the real value, 0, and the present integer, 1, ``h`` starts; on that integer's side of the middle.
        """
        present = round_integers_(weight / unit, grid.rounding).clamp_(grid.low, grid.high)
        real = torch.where(weight / unit == present, original, weight) / unit
        low = torch.where(real < present, present - 1, present).clamp_(grid.low, grid.high - 1)
        is_up = present > low
        v = inverse_sigmoid(torch.lerp((real - low).clamp_(0.0, 1.0), is_up.to(low.dtype), firmness))
        v = torch.where(is_up, v.clamp(min=LEAST), v.clamp(max=-LEAST))
        return cls(v, low, unit)

    @property
    def h(self) -> torch.Tensor:
        """From 0, the lower integer, to 1, the higher one."""
        return rectified_sigmoid(self.v)

    def soft(self) -> torch.Tensor:
        """The weight in between, with gradients to ``v``."""
        return (self.low + self.h) * self.unit

    @torch.no_grad()
    def hard(self) -> torch.Tensor:
        """The weight at the integer that is nearer."""
        return (self.low + (self.v >= 0)) * self.unit

    def __call__(self) -> torch.Tensor:
        """Soft while gradients are recorded; else as it would be left."""
        return self.soft() if torch.is_grad_enabled() else self.hard()
