"""Room in the network's outputs for values larger than those that calibration met.

Few samples do not show how large outputs get: scores of classes are the larger the surer the network is. Two scores that are cut off
are the same number, and the first of them wins, whichever was larger. An output is often far less exact than its own rounding is, as it
carries the noise of all layers; then a coarser exponent costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable

import torch

from espdl.quantize.train.blocks import is_computing, is_view
from espdl.quantize.train.executor import QuantExecutor, Step
from espdl.quantize.train.places import Scale

COST = 0.1
"""Of the mean squared error that an output has: what its coarser rounding may add."""


@torch.no_grad()
def give_room(
    executor: QuantExecutor,
    room: float,
    names: Iterable[str],
    fixed: Collection[int],
    largest: Callable[[str], float],
    error: Callable[[str], float],
) -> int:
    """Raises exponents of outputs until they hold ``room`` times the largest value met, as long as that costs next to nothing.

    Only outputs of layers with weights are looked at, whose exponent is theirs alone: functions that end somewhere, as a Sigmoid does,
    have no larger values.

    Args:
        executor: of the network; scales are changed.
        room: how many times the largest value.
        names: of the outputs.
        fixed: groups of representations, by the identity of their roots, that keep their scale.
        largest: largest magnitude in the float network, by the name of an output.
        error: mean squared error of an output, by its name.

    Returns:
        The number of outputs that have another exponent.
    """
    changed = 0
    for name in names:
        scale, bits = _own_scale(executor, name)
        if scale is None or id(scale.root) in fixed or len(scale.exponents) != 1:
            continue
        (first,) = scale.exponents
        exponent, may_cost = first, COST * error(name)
        while (
            math.ldexp(2 ** (bits - 1) - 1, exponent) < room * largest(name) and _noise(exponent + 1) - _noise(first) <= may_cost
        ):
            exponent += 1
        if exponent > first:
            scale.log2.fill_(exponent)
            changed += 1
    return changed


def _noise(exponent: int) -> float:
    """Mean square of what rounding takes or adds: a twelfth of the step's square."""
    return math.ldexp(1.0, 2 * exponent) / 12


def _own_scale(executor: QuantExecutor, output: str) -> tuple[Scale | None, int]:
    """The scale of an output, and its bits, where a layer writes it and nothing else has it."""
    graph, writers = executor.graph, {name: step for step in executor.steps for name, _ in step.writes}
    chain: list[Step] = []
    name = output
    while name in writers and (not chain or is_view(chain[-1])):
        chain.append(writers[name])
        name = next((read.name for read in chain[-1].reads if read is not None and not read.is_constant), "")
    if not chain or not is_computing(chain[-1]):
        return None, 0
    own = {name for step in chain for name, _ in step.writes}
    info = graph.produced.get(output)
    if info is None or info.root.own or any(other.root is info.root for name, other in graph.produced.items() if name not in own):
        return None, 0
    members = {id(step) for step in chain}
    for step in executor.steps:
        if id(step) not in members and any(read is not None and read.name in own for read in step.reads):
            return None, 0
    return executor.scales.of(info), info.bits
