"""What noise in the tensors and weights between layers does to a network's outputs, measured on samples."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import torch

from espdl.quantize.balance.balance import SMALLEST_SHARE, UNSEEN
from espdl.quantize.balance.groups import Group, find_groups
from espdl.quantize.balance.layers import Layer
from espdl.quantize.passes.tools import name_of
from espdl.quantize.train.executor import QuantExecutor
from espdl.quantize.train.gains import Noise, Problem

DERIVED = 32
"""Samples that derivatives are taken of; how large tensors get is looked at in all."""

PROBES = 2
"""Random directions per sample, in place of every number of the outputs."""

FARTHEST = 40.0
"""Logarithm of a factor that nothing bounds."""


def problem_of(
    executor: QuantExecutor, samples: Iterable[Mapping[str, np.ndarray]], untouched: Collection[str] = (), seed: int = 0
) -> Problem | None:
    """What factors between the layers of a network are to make small; None where there are none.

    The squared derivatives of all numbers of the outputs add up to the mean square of the derivative of their sum, each with a random
    sign (Hutchinson, 1990).

    Tensors clipped from 0 to a bound (Relu6) stay exact: channels that reach it keep their factor, others are made no larger than it.

    Args:
        executor: of the network, which is run in float.
        samples: its inputs.
        untouched: names of nodes that must keep what they read and write.
        seed: of the signs.
    """
    groups, layers = find_groups(executor.graph.model, untouched)
    used = [layer for layer in layers if any(layer in (*group.writers, *group.readers) for group in groups)]
    if not used:
        return None
    seen = _Seen(executor, sorted({name for group in groups for name in group.tensors}), [_weight(layer) for layer in used])
    generator = torch.Generator().manual_seed(seed)
    for count, sample in enumerate(samples):
        seen.look(sample, generator, PROBES if count < DERIVED else 0)
    problem = Problem(groups)
    for place, group in enumerate(groups):
        largest = {name: seen.largest[name].reshape(group.channels, -1).amax(1) for name in group.tensors}
        problem.highest.append(_highest(group, torch.stack(list(largest.values())).amax(0), max(map(seen.size, group.tensors))))
        for name in group.held:
            info = executor.graph.produced.get(name)
            if info is not None:
                effect = seen.effect(name).reshape(group.channels, -1).sum(1)
                problem.terms.append(Noise(_not_lost(largest[name]), effect, info.bits, place))
    for layer in used:
        info, name = executor.graph.input_info(layer.node, 1), _weight(layer)
        if info is None:
            continue
        rows = next((place for place, group in enumerate(groups) if layer in group.writers), None)
        columns = next((place for place, group in enumerate(groups) if layer in group.readers), None)
        weight, effect = (
            torch.from_numpy(layer.by_channel(tensor.cpu().numpy())) for tensor in (executor.constants[name], seen.effect(name))
        )
        problem.terms.append(Noise(weight.abs().amax(2), effect.sum(2), info.bits, rows, columns, info.axis is not None))
    return problem if any(bool((term.effect > 0).any()) for term in problem.terms) else None


class _Seen:
    """What was seen of tensors, by channel, and of weights, by number.

    Attributes:
        largest: magnitudes of a tensor, [size of axis 1], by name.
    """

    def __init__(self, executor: QuantExecutor, names: Sequence[str], weights: Sequence[str]) -> None:
        self._executor = executor
        self._names, self._weights = names, weights
        self.largest: dict[str, torch.Tensor] = {}
        self._squares: dict[str, torch.Tensor] = {}
        self._sizes: dict[str, int] = {}
        self._probes = 0

    def look(self, sample: Mapping[str, np.ndarray], generator: torch.Generator, probes: int) -> None:
        """Runs a sample, and goes back from its outputs ``probes`` times."""
        executor, weights = self._executor, [self._executor.constants[name] for name in self._weights]
        try:
            for weight in weights:
                weight.requires_grad_(probes > 0)
            found = executor.run(executor.tensors(sample), [*self._names, *executor.outputs], executor.steps, quantized=False)
            outputs = [found[name] for name in executor.outputs if found[name].requires_grad]
            for probe in range(probes if outputs else 0):
                self._go_back(found, outputs, generator, probe < probes - 1)
        finally:
            for weight in weights:
                weight.requires_grad_(False)
        for name in self._names:
            size = _by_channel(found[name].detach()).abs().amax(1)
            self.largest[name] = torch.maximum(self.largest[name], size) if name in self.largest else size
            self._sizes[name] = self._sizes.get(name, 0) + found[name].numel() // len(size)

    def _go_back(
        self, found: Mapping[str, torch.Tensor], outputs: Sequence[torch.Tensor], generator: torch.Generator, again: bool
    ) -> None:
        """Adds the squared derivatives in one direction; ``again`` where another follows."""
        total = torch.stack([(output * _signs(output, generator)).sum() / math.sqrt(output.numel()) for output in outputs]).sum()
        sources = [*(found[name] for name in self._names), *(self._executor.constants[name] for name in self._weights)]
        grads = torch.autograd.grad(total, sources, retain_graph=again, allow_unused=True, materialize_grads=True)
        for place, (name, grad) in enumerate(zip((*self._names, *self._weights), grads, strict=True)):
            square = grad.square() if place >= len(self._names) else _by_channel(grad).square().sum(1)
            self._squares[name] = self._squares[name] + square if name in self._squares else square
        self._probes += 1

    def effect(self, name: str) -> torch.Tensor:
        """Sum of squared derivatives of the outputs by each channel of a tensor, or by each number of a weight, in the mean of samples."""
        if name not in self._squares:
            return torch.zeros_like(self.largest[name] if name in self.largest else self._executor.constants[name])
        return self._squares[name] / self._probes

    def size(self, name: str) -> int:
        """Numbers of a channel that were looked at."""
        return self._sizes[name]


def _weight(layer: Layer) -> str:
    return name_of(layer.node.inputs[1])


def _by_channel(tensor: torch.Tensor) -> torch.Tensor:
    """[channels, all others]."""
    return tensor.movedim(1, 0).reshape(tensor.shape[1], -1)


def _signs(output: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return (torch.randint(0, 2, output.shape, generator=generator) * 2 - 1).to(output.device, output.dtype)


def _not_lost(largest: torch.Tensor) -> torch.Tensor:
    """Channels that stay far below the others on these samples may not on other ones."""
    return largest.clamp(min=max(float(largest.max()) * SMALLEST_SHARE, 1e-20))


def _highest(group: Group, largest: torch.Tensor, seen: int) -> torch.Tensor:
    if group.bound is None:
        return torch.full_like(largest, FARTHEST)
    room = torch.log2(group.bound / (_not_lost(largest) * (1 + UNSEEN / math.sqrt(seen)))).clamp(min=0.0)
    return torch.where(largest >= group.bound * (1 - 1e-5), 0.0, room)
