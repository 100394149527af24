"""Training one block of a network so that what it puts out of rounded inputs is what the float network puts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from espdl.errors import EspdlError
from espdl.quantize.train.blocks import Block
from espdl.quantize.train.collect import Stream
from espdl.quantize.train.executor import QuantExecutor
from espdl.quantize.train.optimizer import Adam, Learns

AT_ONCE = 8
"""Samples in one run where no gradients are needed."""

FEWEST = 8
"""Samples of which some can be held out."""

SHARES = (1.0, 0.5, 0.25)
"""Of the way that training went, which are tried on what was held out: the whole way may lead too far."""


class BlockData:
    """What a block reads and should put out, for all samples; some are held out, to tell what was learned from what was memorised.

    Args:
        executor: of the network.
        block: one of it.
        rounded: holds its inputs as the layers before put them out on the chip.
        exact: holds its outputs as the float network puts them out.
        holdout: share of the samples to hold out; with fewer than ``FEWEST`` samples none is.
        seed: which ones.
    """

    def __init__(
        self, executor: QuantExecutor, block: Block, rounded: Stream, exact: Stream, holdout: float = 0.0, seed: int = 0
    ) -> None:
        self._executor = executor
        self._block = block
        self._rounded, self._exact = rounded, exact
        self.outputs = [name for name in block.outputs if _is_real(exact, name)]
        self.has_batches = works_in_batches(executor, block, rounded)
        self.learned, self.held = divided(rounded.count, holdout, seed)

    def loss(self, indices: Sequence[int]) -> torch.Tensor:
        """Mean over samples of the sum over outputs of the mean squared error."""
        if not self.has_batches and len(indices) > 1:
            return torch.stack([self.loss([index]) for index in indices]).mean()
        executor, block = self._executor, self._block
        known = self._rounded.batch(block.inputs, indices, executor.device)
        wanted = self._exact.batch(self.outputs, indices, executor.device)
        got = executor.run(known, self.outputs, block.steps)
        errors = [torch.nn.functional.mse_loss(got[name], wanted[name]) for name in self.outputs]
        return torch.stack(errors).sum()

    @torch.no_grad()
    def compared(self, name: str, indices: Sequence[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """A tensor of the block in the float network and behind rounded inputs, of several samples at once where that is possible."""
        executor, block = self._executor, self._block
        for part in [indices] if self.has_batches else parts(indices, 1):
            exact = executor.run(self._exact.batch(block.inputs, part, executor.device), [name], block.steps, quantized=False)
            rounded = executor.run(self._rounded.batch(block.inputs, part, executor.device), [name], block.steps)
            yield exact[name], rounded[name]

    @torch.no_grad()
    def held_loss(self) -> float:
        """Over the samples that are held out, or over all."""
        size = AT_ONCE if self.has_batches else 1
        found = [float(self.loss(part)) * len(part) for part in parts(self.held, size)]
        return sum(found) / len(self.held)


def divided(count: int, holdout: float, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the samples to learn from, and of those held out; all of them where there are too few."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    held = round(count * holdout) if count >= FEWEST else 0
    learned = sorted(order[held:])
    return learned, sorted(order[:held]) or learned


class Data(Protocol):
    """What training looks at."""

    learned: list[int]

    def loss(self, indices: Sequence[int]) -> torch.Tensor: ...

    def compared(self, name: str, indices: Sequence[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]: ...

    def held_loss(self) -> float: ...


@dataclass(frozen=True)
class LoopOptions:
    """How long, and on what.

    Attributes:
        steps: updates.
        batch_size: samples per update.
        seed: of the order of samples.
        patience: updates without a lower loss after which a block is left; 0 never does.
        decay: lets learning rates fall to 0.
    """

    steps: int
    batch_size: int = 1
    seed: int = 0
    patience: int = 0
    decay: bool = True


@dataclass(frozen=True)
class BlockReport:
    """What training a block gave.

    Attributes:
        name: of the block.
        before, after: loss over the samples that were held out.
        steps: updates done.
        is_kept: whether it is better than before; otherwise all is as it was.
    """

    name: str
    before: float
    after: float
    steps: int
    is_kept: bool


def train_block(
    data: Data,
    name: str,
    trained: Sequence[Learns],
    options: LoopOptions,
    *,
    penalty: Callable[[int], torch.Tensor | None] = lambda step: None,
    project: Callable[[], None] = lambda: None,
    tick: Callable[[], None] = lambda: None,
) -> BlockReport:
    """Trains; leaves the best state that was seen, which is the one before where nothing is better.

    Args:
        data: inputs and outputs.
        name: of the block, for messages.
        trained: what learns.
        options: how long.
        penalty: what is added to the loss of an update, by its number.
        project: called after every update, to put scales back to where the chip can have them.
        tick: called after every update.

    Raises:
        EspdlError: when the loss is no number.
        KeyboardInterrupt: the block is then as before.
    """
    tensors = [tensor for item in trained for tensor in item.tensors]
    adam = Adam(trained, options.steps, options.decay)

    def change() -> int:
        try:
            for tensor in tensors:
                tensor.requires_grad_(True)
            return _updates(data, name, adam, options, penalty, project, tick)
        finally:
            for tensor in tensors:
                tensor.requires_grad_(False)
                tensor.grad = None

    return keep_best(data, name, tensors, change, project)


def keep_best(
    data: Data, name: str, tensors: Sequence[torch.Tensor], change: Callable[[], int], project: Callable[[], None] = lambda: None
) -> BlockReport:
    """Changes tensors; leaves them as they were, or part or all of the way to where they got, by the loss on what was held out.

    Args:
        data: says how good they are.
        name: of the block.
        tensors: leaves without gradients.
        change: does so in place; gives the number of updates.
        project: puts tensors back to where the chip can have them.

    Raises:
        KeyboardInterrupt: the tensors are then as before.
    """
    first = [tensor.detach().clone() for tensor in tensors]
    before = data.held_loss()
    best, state = before, first
    try:
        done = change()
        last = [tensor.clone() for tensor in tensors]
        for share in SHARES:
            _put(tensors, [torch.lerp(old, new, share) for old, new in zip(first, last, strict=True)])
            project()
            after = data.held_loss()
            if after < best:
                best, state = after, [tensor.clone() for tensor in tensors]
    finally:
        _put(tensors, state)
    return BlockReport(name, before, best, done, state is not first)


def _put(tensors: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def _updates(
    data: Data,
    name: str,
    adam: Adam,
    options: LoopOptions,
    penalty: Callable[[int], torch.Tensor | None],
    project: Callable[[], None],
    tick: Callable[[], None],
) -> int:
    order = batches(data.learned, options.batch_size, options.seed)
    lowest, since, recent = float("inf"), 0, 0.0
    for step in range(options.steps):
        loss = data.loss(next(order))
        further = penalty(step)
        value = float(loss.detach())
        if value != value or value in (float("inf"), -float("inf")):
            raise EspdlError(
                f"the loss is {value} after {step} updates", where=name, hint="a smaller lr and scale_lr, or leave the layer out"
            )
        (loss if further is None else loss + further).backward()
        adam.step()
        project()
        tick()
        if options.patience:
            recent = value if step == 0 else 0.9 * recent + 0.1 * value
            lowest, since = (recent, 0) if recent < lowest else (lowest, since + 1)
            if since >= options.patience:
                return step + 1
    return options.steps


def batches(samples: Sequence[int], size: int, seed: int) -> Iterator[list[int]]:
    """Endless batches of sample numbers: all samples in a drawn order, then all in another one."""
    generator = torch.Generator().manual_seed(seed)
    waiting: list[int] = []
    size = min(size, len(samples))
    while True:
        while len(waiting) < size:
            waiting += [samples[place] for place in torch.randperm(len(samples), generator=generator).tolist()]
        batch, waiting = waiting[:size], waiting[size:]
        yield batch


def parts(samples: Sequence[int], size: int) -> list[Sequence[int]]:
    """Sample numbers, ``size`` at a time."""
    return [samples[start : start + size] for start in range(0, len(samples), size)]


@torch.no_grad()
def works_in_batches(executor: QuantExecutor, block: Block, inputs: Stream) -> bool:
    """Whether a block computes two samples at once as it does one after the other: tried, as networks may rearrange the batch away."""
    if inputs.count < 2 or not inputs.has_batches(block.inputs):
        return False
    single = [executor.run(inputs.batch(block.inputs, [index], executor.device), block.outputs, block.steps) for index in (0, 1)]
    try:
        both = executor.run(inputs.batch(block.inputs, [0, 1], executor.device), block.outputs, block.steps)
    except EspdlError:
        return False
    return all(_are_stacked(both[name], single[0][name], single[1][name]) for name in block.outputs)


def _are_stacked(both: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> bool:
    if first.ndim == 0 or first.shape[0] != 1 or both.shape[0] != 2 or both.shape[1:] != first.shape[1:]:
        return False
    if not both.is_floating_point():
        return True
    spread = float(first.abs().max()) if first.numel() else 0.0
    near = [(both[index] - one[0]).abs() for index, one in enumerate((first, second))]
    return all(part.numel() == 0 or float(part.mean()) <= 1e-2 * spread + 1e-12 for part in near)


def _is_real(stream: Stream, name: str) -> bool:
    return stream.get(name, [0]).is_floating_point()
