"""Adam with a learning rate of its own for every channel, so that weights move by steps of their integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8
TINY = 1e-30


class Learns(Protocol):
    """One or more leaf tensors that learn."""

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """They are changed in place."""
        ...

    def update(self, count: int, factor: float) -> None: ...


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

    @property
    def tensors(self) -> Sequence[torch.Tensor]:
        """The one."""
        return (self.tensor,)

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


@dataclass(eq=False)
class Together:
    """Tensors whose gradients are measured by one another: all are divided by the largest entry seen lately (AdaMax over all of them).

    The entry with the largest gradients moves by ``lr`` in an update, others in proportion.

    Attributes:
        tensors: leaves; they are changed in place.
        lr: learning rate.
    """

    tensors: Sequence[torch.Tensor]
    lr: float
    _first: list[torch.Tensor] = field(default_factory=list, repr=False)
    _largest: torch.Tensor | None = field(default=None, repr=False)

    def update(self, count: int, factor: float) -> None:
        """One step along the gradients (Kingma and Ba, 2015, section 7.1), the learning rate times ``factor``; clears them."""
        grads = [torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in self.tensors]
        if not self._first:
            self._first = [torch.zeros_like(grad) for grad in grads]
        largest = torch.stack([grad.abs().max() for grad in grads]).max()
        self._largest = largest if self._largest is None else torch.maximum(self._largest * SECOND, largest)
        scale = self.lr * factor / (1 - FIRST**count)
        with torch.no_grad():
            for tensor, first, grad in zip(self.tensors, self._first, grads, strict=True):
                first.lerp_(grad, 1 - FIRST)
                tensor.sub_(first / self._largest.clamp(min=TINY) * scale)
                tensor.grad = None


class Adam:
    """Updates some tensors; learning rates fall to 0 along half a cosine.

    Args:
        tensors: what learns.
        steps: number of updates.
        decay: False keeps the learning rates.
    """

    def __init__(self, tensors: Sequence[Learns], steps: int, decay: bool = True) -> None:
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
