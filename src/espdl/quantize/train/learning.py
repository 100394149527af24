"""What a block can learn: constants that only it reads, scales that only it decides, and where the chip bounds these."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import torch

from espdl.quantize.assign import module_of
from espdl.quantize.graph import Role
from espdl.quantize.passes.tools import shape_of
from espdl.quantize.train.blocks import Block
from espdl.quantize.train.executor import QuantExecutor, Read, Step
from espdl.quantize.train.places import BiasPlace, Place, Scale

FARTHEST = 60.0
"""Exponents go no further than that from 0: scales stay numbers of float32, and so do the products of two."""


class Learnable:
    """Finds what a block can learn.

    Args:
        executor: of the network; its parameters and scales are what is found.
        fixed: groups of representations, by the identity of their roots, that keep their scale.
    """

    def __init__(self, executor: QuantExecutor, fixed: Collection[int] = ()) -> None:
        self._executor = executor
        self._fixed = set(fixed)
        self._steps_of: dict[str, set[int]] = {}
        for step in executor.steps:
            for read in step.reads:
                if read is not None and read.is_constant:
                    self._steps_of.setdefault(read.name, set()).add(id(step))

    def constants(self, block: Block) -> list[tuple[Step, Read]]:
        """Weights, biases and other numbers that only this block reads, each with the step that reads it first."""
        own = {id(step) for step in block.steps}
        found: dict[str, tuple[Step, Read]] = {}
        for step in block.steps:
            bound = module_of(step.node).quantization.inputs_like_first
            for index, read in enumerate(step.reads):
                if read is None or not read.is_constant or read.place is None or read.name in found:
                    continue
                if index not in bound and self._steps_of[read.name] <= own:
                    found[read.name] = step, read
        return list(found.values())

    def unit(self, step: Step, read: Read) -> torch.Tensor | None:
        """One step of the integers of a constant, in a shape that broadcasts against it; of a bias, one step of the result's integers."""
        place = read.place
        if isinstance(place, BiasPlace):
            written = step.writes[0][1] or self._place_behind(step)
            return None if written is None else _power(written.scale).max()
        if place is None:
            return None
        power = _power(place.scale)
        if power.ndim == 0:
            return power
        shape = [1] * self._executor.parameters[read.name].ndim
        shape[place.grid.axis] = -1
        return power.reshape(shape)

    def learning_rate(
        self, step: Step, read: Read, lr: float, reach: float, steps: int, samples: int = 1, evidence: float = 0.0
    ) -> float | torch.Tensor:
        """``lr``, and as much as lets a constant move by ``reach`` of its units in ``steps`` updates, if all go one way.

        With ``evidence`` above 0 all of it is less where the step's results on ``samples`` samples have fewer numbers than that per
        number of the constant, in proportion: what samples do not determine would only be learned by heart.
        """
        share = 1.0
        if evidence:
            results = math.prod(shape_of(step.node.outputs[0]) or (1,))
            share = min(1.0, samples * results / (evidence * self._executor.parameters[read.name].numel()))
        unit = self.unit(step, read) if reach else None
        if unit is None:
            return share * lr
        rate = share * (lr + 2 * reach / steps * unit)
        return rate if rate.ndim else float(rate)

    def rounding_error(self, reads: Iterable[Read], weight: float) -> torch.Tensor | None:
        """``weight`` times the sum of the mean squared errors of rounded constants, biases left out; None where it is 0."""
        terms = []
        for read in reads if weight else ():
            if isinstance(read.place, Place):
                real = self._executor.parameters[read.name]
                terms.append(weight * torch.nn.functional.mse_loss(read.place(real), real.detach()))
        return sum(terms[1:], terms[0]) if terms else None

    def _place_behind(self, step: Step) -> Place | None:
        info = self._executor.graph.output_info(step.node.outputs[0])
        return None if info is None else self._executor.scales.place(info)

    def scales(self, block: Block) -> list[Scale]:
        """Scales that this block alone decides: no tensor from before it, and no other layer's constant, has them."""
        executor, graph = self._executor, self._executor.graph
        own = {id(step) for step in block.steps}
        written = {name for step in block.steps for name, _ in step.writes}
        outside = {id(info.root) for name, info in graph.produced.items() if name not in written}
        found: dict[int, Scale] = {}
        for step in executor.steps:
            for index, _ in enumerate(step.reads):
                info = graph.input_info(step.node, index)
                if info is None:
                    continue
                if id(step) not in own and info.role is not Role.ACTIVATION:
                    outside.add(id(info.root))
                elif id(step) in own and info.role is not Role.BIAS:
                    found[id(info.root)] = executor.scales.of(info)
        for name in written:
            info = graph.produced.get(name)
            if info is not None:
                found[id(info.root)] = executor.scales.of(info)
        gates = {id(info.root) for info in graph.gates.values()}
        return [s for key, s in found.items() if key not in outside | gates | self._fixed and not s.root.own]

    @torch.no_grad()
    def project(self, block: Block, scales: Sequence[Scale]) -> None:
        """Puts scales that learn back to where the chip can have them.

        Products are shifted right only: a result's exponent is at least the sum of those of input and weight (runtime spec 3.2).
        """
        learning = {id(scale) for scale in scales}
        if not learning:
            return
        for scale in scales:
            scale.log2.clamp_(-FARTHEST, FARTHEST)
        graph, of = self._executor.graph, self._executor.scales.of
        for step in block.steps:
            rules = module_of(step.node).quantization
            infos = [graph.input_info(step.node, 0), graph.input_info(step.node, 1), graph.output_info(step.node.outputs[0])]
            if rules.largest_exponent is not None and infos[0] is not None and infos[0].bits == 8:
                _limit(of(infos[0]), learning, rules.largest_exponent)
            if not (rules.computing or rules.multiplies) or any(info is None for info in infos):
                continue
            source, other, result = (of(info) for info in infos if info is not None)
            lowest = max(source.exponents) + max(other.exponents)
            if min(result.exponents) >= lowest:
                continue
            if id(result) in learning:
                result.log2.clamp_(min=lowest)
            else:
                _limit(other, learning, min(result.exponents) - max(source.exponents))
                _limit(source, learning, min(result.exponents) - max(other.exponents))


def _power(scale: Scale) -> torch.Tensor:
    return torch.exp2(torch.round(scale.log2.detach()))


def _limit(scale: Scale, learning: Collection[int], highest: int) -> None:
    if id(scale) in learning:
        scale.log2.clamp_(max=highest)
