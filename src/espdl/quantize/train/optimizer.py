"""Adam with a learning rate of its own for every channel, so that weights move by steps of their integers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8


@dataclass(eq=False)
class Trained:
    """A tensor that learns.

    Attributes:
        tensor: a leaf; it is changed in place.
        lr: learning rate, a number or a tensor that broadcasts against ``tensor``.
    """

    tensor: torch.Tensor
    lr: float | torch.Tensor
    _first: torch.Tensor | None = field(default=None, repr=False)
    _second: torch.Tensor | None = field(default=None, repr=False)

    def update(self, count: int, factor: float) -> None:
        """One step along ``tensor.grad`` (Kingma and Ba, 2015), the learning rate times ``factor``; clears the gradient."""
        grad = self.tensor.grad
        if grad is None:
            return
        if self._first is None or self._second is None:
            self._first, self._second = torch.zeros_like(grad), torch.zeros_like(grad)
        self._first.lerp_(grad, 1 - FIRST)
        self._second.mul_(SECOND).addcmul_(grad, grad, value=1 - SECOND)
        root = self._second.sqrt().div_(math.sqrt(1 - SECOND**count)).add_(EPSILON)
        step = self._first / root
        scale = factor / (1 - FIRST**count)
        with torch.no_grad():
            if isinstance(self.lr, torch.Tensor):
                self.tensor.addcmul_(step, self.lr, value=-scale)
            else:
                self.tensor.add_(step, alpha=-scale * self.lr)
        self.tensor.grad = None


class Adam:
    """Updates some tensors; learning rates fall to 0 along half a cosine.

    Args:
        tensors: what learns.
        steps: number of updates.
        decay: False keeps the learning rates.
    """

    def __init__(self, tensors: list[Trained], steps: int, decay: bool = True) -> None:
        self.tensors = tensors
        self._steps = steps
        self._decay = decay
        self._count = 0

    def step(self) -> None:
        """One update."""
        factor = 0.5 * (1 + math.cos(math.pi * self._count / self._steps)) if self._decay else 1.0
        self._count += 1
        for trained in self.tensors:
            trained.update(self._count, factor)
