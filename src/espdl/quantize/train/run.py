"""From a quantized graph and samples to a better one: the float and the rounded network side by side, one block after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch

from espdl.progress import track
from espdl.quantize.train.blocks import Block
from espdl.quantize.train.collect import Stream
from espdl.quantize.train.executor import QuantExecutor, Step, outside_reads
from espdl.quantize.train.loop import AT_ONCE, BlockData, BlockReport, Data, divided, parts, works_in_batches
from espdl.quantize.train.room import give_room

FAR_OFF = 0.1
"""Mean squared error of the outputs by their power from which the whole network is trained behind its blocks. Where blocks bring it below
that, with few samples more would be learned by heart than learned."""

WORTH_WHILE = 0.02
"""Share of the error of the outputs that training must take away: less is chance, with few samples held out."""


class Method(Protocol):
    """A way to train one block."""

    def train(self, block: Block, data: Data, tick: Callable[[], None], steps: int) -> BlockReport: ...


@dataclass
class TrainReport:
    """What training a network gave.

    Attributes:
        blocks: one report per block trained.
        whole: the report of training all of them together, behind that.
        before, after: mean squared error of the network's outputs over the samples held out, or over all.
        was_interrupted: whether Ctrl-C ended it; what was learned until then is kept.
        is_kept: whether the network is better than before; otherwise all is as it was.
        roomier: number of outputs that were given room.
    """

    blocks: list[BlockReport] = field(default_factory=list)
    whole: BlockReport | None = None
    before: float = 0.0
    after: float = 0.0
    was_interrupted: bool = False
    is_kept: bool = True
    roomier: int = 0


def train_network(
    executor: QuantExecutor,
    blocks: list[Block],
    samples: Iterable[Mapping[str, np.ndarray]],
    count: int,
    method: Method,
    steps: int,
    collecting_device: torch.device,
    holdout: float = 0.0,
    seed: int = 0,
    whole_steps: int = 0,
    room: float = 0.0,
    fixed: Collection[int] = (),
) -> TrainReport:
    """Trains all blocks that are to be trained, each on what the blocks before it, already trained, put out.

    Both networks are computed once, block by block, over all samples; only what later blocks read is kept.

    Args:
        executor: of the network; its parameters and scales hold the result.
        blocks: all of the network, in order.
        samples: the inputs, read once.
        count: their number.
        method: trains a block.
        steps: updates per block, or samples that are looked at.
        collecting_device: where tensors are kept between blocks.
        holdout, seed: see :class:`espdl.quantize.train.loop.BlockData`.
        whole_steps: updates of the whole network, behind those of its blocks, where these leave it far off; 0 for none.
        room, fixed: see :func:`espdl.quantize.train.room.give_room`; 0 gives none.
    """
    report = TrainReport()
    saved = _copies(executor)
    with Stream(count, collecting_device) as exact, Stream(count, collecting_device) as rounded:
        _begin(executor, samples, exact, rounded)
        _, held = divided(count, holdout, seed)
        output = _OutputError(executor, exact, rounded, held)
        report.before = reached = output(executor.steps)
        needed = _needed_later(blocks, [*executor.outputs, *executor.inputs])
        with _ticks(sum(block.is_trained for block in blocks) * steps + whole_steps) as (tick, jump):
            for index, block in enumerate(blocks):
                _advance(executor, block, exact, quantized=False)
                if block.is_trained and not report.was_interrupted:
                    with _until_interrupted(report):
                        data = BlockData(executor, block, rounded, exact, holdout, seed)
                        untrained = _copies(executor)
                        found = method.train(block, data, tick, steps)
                        error = output(_steps_from(blocks, index)) if found.is_kept else reached
                        if found.is_kept and not error < reached:
                            _restore(untrained)
                            found = replace(found, is_kept=False, after=found.before)
                        reached = min(error, reached)
                        report.blocks.append(found)
                    jump(len(report.blocks) * steps)
                _advance(executor, block, rounded, quantized=True)
                for stream in (exact, rounded):
                    stream.keep_only(needed[index])
            whole = Block(executor.steps, True, list(executor.inputs), list(executor.outputs))
            if whole_steps and report.blocks and not report.was_interrupted and reached > FAR_OFF * output.power:
                with _until_interrupted(report):
                    everything = BlockData(executor, whole, rounded, exact, holdout, seed)
                    report.whole = method.train(whole, everything, tick, whole_steps)
                _advance(executor, whole, rounded, quantized=True)
        report.after = _difference(exact, rounded, executor.outputs, held)
        if not report.after < (1 - WORTH_WHILE) * report.before:
            report.is_kept, report.after = False, report.before
            _restore(saved)
            if room:
                _advance(executor, whole, rounded, quantized=True)
        if room:
            trained = {name for block in blocks if block.is_trained for name in block.outputs}
            report.roomier = give_room(
                executor,
                room,
                [name for name in executor.outputs if name in trained],
                fixed,
                lambda name: max(float(exact.get(name, [index]).abs().max()) for index in range(count)),
                lambda name: _difference(exact, rounded, [name], held),
            )
    return report


@contextmanager
def _until_interrupted(report: TrainReport) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        report.was_interrupted = True


def _copies(executor: QuantExecutor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Everything that can be trained, and what it is now."""
    tensors = [*executor.parameters.values(), *(scale.log2 for scale in executor.scales)]
    return [(tensor, tensor.detach().clone()) for tensor in tensors]


@torch.no_grad()
def _restore(copies: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, old in copies:
        if not torch.equal(tensor, old):
            tensor.copy_(old)


@torch.no_grad()
def _begin(executor: QuantExecutor, samples: Iterable[Mapping[str, Any]], exact: Stream, rounded: Stream) -> None:
    """Keeps the inputs of both networks."""
    for index, sample in enumerate(samples):
        inputs = executor.tensors(sample)
        fed = executor.feed(inputs)
        for name in executor.inputs:
            exact.put(name, index, inputs[name])
            rounded.put(name, index, fed[name])


class _OutputError:
    """Mean squared error of the network's outputs over some samples, whose inputs the streams hold.

    Attributes:
        power: mean square of the float network's outputs, summed as their errors are.
    """

    def __init__(self, executor: QuantExecutor, exact: Stream, rounded: Stream, indices: Sequence[int]) -> None:
        self._executor, self._rounded = executor, rounded
        self._indices = indices
        known = ((index, exact.batch(executor.inputs, [index], executor.device)) for index in indices)
        with torch.no_grad():
            self._wanted = {index: executor.run(it, executor.outputs, executor.steps, quantized=False) for index, it in known}
        tensors = [tensor for found in self._wanted.values() for tensor in found.values() if tensor.is_floating_point()]
        self.power = sum(float(tensor.double().square().mean()) for tensor in tensors) / len(indices)

    @torch.no_grad()
    def __call__(self, steps: Sequence[Step]) -> float:
        """With the parameters as they are, by the steps that are still to be done."""
        executor, total = self._executor, 0.0
        names = [name for name in outside_reads(steps) if name in self._rounded.names]
        names += [name for name in executor.outputs if name in self._rounded.names and name not in names]
        for index in self._indices:
            got = executor.run(self._rounded.batch(names, [index], executor.device), executor.outputs, steps)
            total += sum(squared_error(self._wanted[index][name], got[name]) for name in executor.outputs)
        return total / len(self._indices)


def _steps_from(blocks: Sequence[Block], index: int) -> list[Step]:
    return [step for block in blocks[index:] for step in block.steps]


def squared_error(wanted: torch.Tensor, got: torch.Tensor) -> float:
    """Mean squared error; of truth values and whole numbers the share that differs."""
    if not wanted.is_floating_point():
        return float((wanted != got).double().mean())
    return float((wanted.double() - got.double()).square().mean())


@torch.no_grad()
def _advance(executor: QuantExecutor, block: Block, stream: Stream, quantized: bool) -> None:
    """Adds the outputs of a block for all samples."""
    size = AT_ONCE if works_in_batches(executor, block, stream) else 1
    for part in parts(range(stream.count), size):
        known = stream.batch(block.inputs, part, executor.device)
        found = executor.run(known, block.outputs, block.steps, quantized=quantized)
        for name in block.outputs:
            tensor = found[name]
            for place, index in enumerate(part):
                stream.put(name, index, tensor if len(part) == 1 else tensor[place : place + 1])


def _needed_later(blocks: list[Block], outputs: list[str]) -> list[set[str]]:
    """After each block: what is still to be read."""
    needed = set(outputs)
    found = []
    for block in reversed(blocks):
        found.append(set(needed))
        needed |= set(block.inputs)
    return found[::-1]


def _difference(exact: Stream, rounded: Stream, names: list[str], indices: Sequence[int]) -> float:
    pairs = ((exact.get(name, [i]), rounded.get(name, [i])) for name in names for i in indices)
    return sum(squared_error(wanted, got) for wanted, got in pairs) / len(indices)


@contextmanager
def _ticks(total: int) -> Iterator[tuple[Callable[[], None], Callable[[int], None]]]:
    """Functions that move a progress bar: by one, and to a place."""
    moving = iter(track(range(total), "Training", total))
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        next(moving, None)

    def jump(place: int) -> None:
        while done < place:
            tick()

    try:
        yield tick, jump
    finally:
        close = getattr(moving, "close", None)
        if close is not None:
            close()
