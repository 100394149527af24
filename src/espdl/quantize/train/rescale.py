"""Puts learned factors between the layers of a quantized graph, and takes them out again where they make it no better."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantize.balance.groups import find_groups
from espdl.quantize.calibrate import calibrate
from espdl.quantize.graph import QuantGraph, QuantInfo
from espdl.quantize.headroom import avoid_overflow, ensure_headroom, unite_exponents
from espdl.quantize.parameters import calibrate_parameters, set_bias_exponents
from espdl.quantize.passes.tools import name_of
from espdl.quantize.scale import Scale, joined
from espdl.quantize.tables import LoweringOptions
from espdl.quantize.train.executor import QuantExecutor
from espdl.quantize.train.gains import learned_gains
from espdl.quantize.train.loop import divided
from espdl.quantize.train.run import FAR_OFF, squared_error
from espdl.quantize.train.samples import SampleStore
from espdl.quantize.train.sensitivity import problem_of
from espdl.wording import counted

NO_CHANGE = 0.01
"""Factors that differ from 1 by less change nothing."""


def scale_channels(
    executor: QuantExecutor,
    samples: SampleStore,
    steps: int,
    holdout: float,
    seed: int,
    fixed: Collection[int],
    lowering: LoweringOptions | None,
) -> QuantExecutor:
    """Scales channels between layers by factors that learn, where the outputs of a graph are far off.

    Only what is scaled is calibrated again, from its real weights: what calibration, rounding and correction made of the graph before
    stays everywhere else. The graph has the float network with factors in it afterwards, and the one before as its ``reference``.

    Args:
        executor: of the graph.
        samples: calibration data; those held out decide whether the outputs are far off, and whether it was any good.
        steps: updates of factors.
        holdout, seed: see :class:`espdl.quantize.train.loop.BlockData`.
        fixed: groups of representations, by the identity of their roots, that keep their scale.
        lowering: with which the file is to be made.

    Returns:
        An executor of the scaled graph, or the one given where nothing was done.
    """
    graph = executor.graph
    _, held = divided(len(samples), holdout, seed)
    before, power = _output_error(executor, samples, set(held))
    if not before > FAR_OFF * power:
        return executor
    problem = problem_of(executor, samples, _untouched(graph, fixed), seed)
    if problem is None:
        return executor
    gains = learned_gains(problem, steps)
    changed = [group for group, gain in zip(problem.groups, gains, strict=True) if float(np.abs(gain - 1).max()) > NO_CHANGE]
    if not changed:
        return executor
    saved = _Saved.of(graph)
    after = before
    with suppress(EspdlError):  # no exponents may fit
        _fold(graph, samples, gains, _untouched(graph, fixed), fixed)
        scaled = QuantExecutor(graph, executor.device, executor.dtype, lowering)
        after, _ = _output_error(scaled, samples, set(held))
    if not after < before:
        saved.restore(graph)
        return executor
    graph.measures.append(
        f"TQT: channels scaled between layers, in {counted(len(changed), 'place')},"
        f" mean squared error of the outputs {before:.3g} -> {after:.3g}"
    )
    return scaled


@torch.no_grad()
def _output_error(executor: QuantExecutor, samples: SampleStore, held: Collection[int]) -> tuple[float, float]:
    """Mean squared error of the outputs over some samples, summed over outputs, and likewise the mean square of the float network's."""
    error = power = 0.0
    for index, sample in enumerate(samples):
        if index not in held:
            continue
        exact, rounded = (executor(sample, quantized=quantized) for quantized in (False, True))
        error += sum(squared_error(wanted, got) for wanted, got in zip(exact, rounded, strict=True))
        power += sum(float(wanted.double().square().mean()) for wanted in exact if wanted.is_floating_point())
    return error / len(held), power / len(held)


def _untouched(graph: QuantGraph, fixed: Collection[int]) -> set[str]:
    """Nodes that must keep what they read and write: those in float, and those at scales that a user set."""
    found = {name for name, bits in graph.bits.items() if not bits}
    for node in graph.nodes():
        infos = [graph.input_info(node, index) for index in range(len(node.inputs))]
        infos += [graph.output_info(value) for value in node.outputs]
        if any(info is not None and id(info.root) in fixed for info in infos):
            found.add(node.name or "")
    return found


def _fold(
    graph: QuantGraph,
    samples: SampleStore,
    gains: Sequence[NDArray[np.float64]],
    untouched: Collection[str],
    fixed: Collection[int],
) -> None:
    """Multiplies what writes the tensors of each group, divides what reads them, and gives both new exponents."""
    model = graph.model.clone()
    groups, _ = find_groups(model, untouched)
    scales: dict[str, Scale] = {}
    changed: list[QuantInfo | None] = []
    for group, factors in zip(groups, gains, strict=True):
        for layer in group.writers:
            layer.scale_outputs(factors)
        for layer in group.readers:
            layer.scale_inputs(1 / factors)
        for name, size in group.sizes.items():
            scales[name] = Scale(np.repeat(factors, size // group.channels), np.zeros(size))
            changed.append(graph.produced.get(name))
    adjusted = dict(graph.adjusted)
    for layer in {id(layer): layer for group in groups for layer in (*group.writers, *group.readers)}.values():
        layer.write_back()
        changed += [graph.input_info(layer.node, 1), graph.produced.get(layer.result)]
        for value in layer.node.inputs[1:]:
            adjusted.pop(name_of(value), None)
    graph.reference, graph.scales = graph.original, joined(graph.scales, scales)
    graph.model, graph.adjusted = model, adjusted
    for info in changed:
        if info is not None and id(info.root) not in fixed:
            info.forget_exponents()
            # Where weights were coarse, results had to be, and that was warned of.
            graph.warnings = [line for line in graph.warnings if not line.startswith(f"tensor {info.value!r} has exponent ")]
    calibrate_parameters(graph)
    calibrate(graph, samples, len(samples))
    unite_exponents(graph, [group.held for group in groups if len(group.writers) > 1])
    ensure_headroom(graph)
    avoid_overflow(graph)
    set_bias_exponents(graph)


@dataclass
class _Saved:
    """What scaling changes of a graph."""

    fields: dict[str, Any]
    exponents: list[tuple[QuantInfo, tuple[int, ...]]]

    @classmethod
    def of(cls, graph: QuantGraph) -> _Saved:
        names = ("model", "reference", "scales", "adjusted", "bits", "platforms", "warnings")
        fields = {name: _copied(getattr(graph, name)) for name in names}
        infos = [*graph.infos(), *graph.gates.values()]
        return cls(fields, [(info, info.exponents) for info in infos if info.is_root and info.has_exponents])

    def restore(self, graph: QuantGraph) -> None:
        for name, value in self.fields.items():
            setattr(graph, name, value)
        for info, exponents in self.exponents:
            info.set_exponents(exponents)


def _copied(value: Any) -> Any:
    """Of a table or a list; networks are exchanged as a whole."""
    return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, list) else value
