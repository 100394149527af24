"""Mixed precision from start to end: look where noise comes from, choose what goes to 16 bits, try it, say what came of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from espdl.dl.model import Model
from espdl.errors import EspdlError
from espdl.quantize.dataloader import Sample
from espdl.quantize.export import ExportOptions, build_record, file_bytes
from espdl.quantize.float_run import FloatRun
from espdl.quantize.graph import QuantGraph
from espdl.quantize.lower import Lowered
from espdl.quantize.mixed.choose import Budget, Choice, choose, decibels
from espdl.quantize.mixed.costs import Costs, costs_of, latency_of, room_for_parameters, wide_setting
from espdl.quantize.mixed.noise import Noise, measure_noise
from espdl.quantize.mixed.parts import Held, Unit, find_parts
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.setting import MixedPrecisionSetting, QuantizationSetting
from espdl.quantize.snr import output_snr
from espdl.wording import counted

SAMPLES = 4
"""Samples on which noise is measured tensor by tensor."""
TRIES = 4
"""Files that are made at most until one keeps the budget and reaches the aim."""
BEYOND = 0.1
"""Decibels above what was predicted of layers that are asked for when those did not bring as much."""
LARGEST_DB = 100.0
"""Outputs that are equal count as much, so that a mean exists."""

Quantize = Callable[[QuantizationSetting], QuantGraph]


@dataclass(frozen=True)
class Step:
    """Layers that went to 16 bits, and why.

    Attributes:
        layers: names of nodes.
        noise: share of all noise at the outputs that is theirs, 0 to 1, measured one by one.
        us: microseconds that they take more, estimated.
    """

    layers: tuple[str, ...]
    noise: float
    us: float


@dataclass(frozen=True)
class MixedPrecision:
    """What was done for ``mixed_precision``.

    Attributes:
        steps: in the order in which they were chosen: the most noise for its time first.
        snr_db, predicted_db, measured_db: of the outputs, their mean, on the first calibration samples: in 8 bits, as predicted from the
            noise of the parts, and of the file with mixed widths.
        narrow_us, mixed_us: estimated latency of both files.
        narrow_bytes, mixed_bytes: sizes of both.
        more_latency: the budget.
        reason: why it ended there.
    """

    steps: tuple[Step, ...]
    snr_db: float
    predicted_db: float
    measured_db: float
    narrow_us: float
    mixed_us: float
    narrow_bytes: int
    mixed_bytes: int
    more_latency: float
    reason: str

    @property
    def layers(self) -> list[str]:
        """Names of all nodes in 16 bits on its account."""
        return [name for step in self.steps for name in step.layers]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """One sentence for people."""
        time = f"estimated {self.narrow_us / 1000:.3g} ms -> {self.mixed_us / 1000:.3g} ms ({self.mixed_us / self.narrow_us - 1:+.0%})"
        if not self.steps:
            return f"mixed precision: all layers stay in 8 bits, SNR {self.snr_db:.1f} dB, {self.reason}"
        return (
            f"mixed precision: {counted(len(self.layers), 'node')} in 16 bits, SNR {self.snr_db:.1f} dB -> {self.measured_db:.1f} dB "
            f"(predicted {self.predicted_db:.1f} dB), {time}; {self.reason}"
        )

    def lines(self) -> list[str]:
        """Step by step: the layers, their share of the noise, and their time."""
        return [
            f"{index}. {', '.join(step.layers)}: {step.noise:.1%} of the noise, {step.us / 1000:+.3g} ms"
            for index, step in enumerate(self.steps, 1)
        ]


def require_mixable(platform: TargetPlatform, setting: QuantizationSetting) -> None:
    """Raises :class:`EspdlError` where ``mixed_precision`` is asked of a network that is not in 8 bits."""
    if setting.mixed_precision and (platform.activation_bits, platform.weight_bits) != (8, 8):
        raise EspdlError(
            f"mixed_precision chooses layers of an 8-bit network for 16 bits, asked for is {platform.quant_type}",
            hint="leave mixed_precision out, or use w8a8",
        )


def choose_precision(
    network: ir.Model,
    platform: TargetPlatform,
    setting: QuantizationSetting,
    samples: Sequence[Sample],
    export: ExportOptions,
    quantize: Quantize,
) -> tuple[QuantGraph, MixedPrecision]:
    """Quantizes in 8 bits, then with the layers in 16 bits that gain most for their time.

    What the user sends somewhere by hand stays there. The file in 8 bits is kept where mixed widths do not gain on the samples.

    Args:
        network: prepared.
        platform, setting, export: how it is quantized.
        samples: the first ones of the calibration data, on which noise is measured.
        quantize: makes the graph for a setting; called several times. It fills ``samples``, if they are empty.

    Returns:
        The graph, and what was done.
    """
    untrained = copy.deepcopy(setting)
    untrained.tqt_optimization = False
    trial = _Trial(platform, untrained, export, quantize)
    base = trial.make(())

    def finished(graph: QuantGraph, mixed: MixedPrecision) -> tuple[QuantGraph, MixedPrecision]:
        """The graph, trained where the setting asks for it."""
        return (quantize(wide_setting(setting, mixed.layers, platform)) if setting.tqt_optimization else graph), mixed

    used = list(samples)
    references = _references(base.graph, used)
    snr, (estimate, memory) = base.snr(used, references), latency_of(base.model)
    options, latency, size = setting.mixed_precision_setting, estimate.model.us, len(base.data)
    stays = MixedPrecision((), snr, snr, snr, latency, latency, size, size, options.more_latency, "")
    units, tensors = find_parts(base.graph, _kept(setting))
    if snr >= options.snr_db:
        return finished(base.graph, replace(stays, reason=f"which is above {options.snr_db:g} dB"))
    if not any(unit.is_free for unit in units):
        return finished(base.graph, replace(stays, reason="as none can run in 16 bits"))
    noise = measure_noise(base.graph, units, tensors, used[:SAMPLES])
    costs = costs_of(network, platform, setting, used[:1], base.data, units, tensors, export)
    total = sum(noise.tensors) + sum(noise.parameters)
    allowed = latency * options.more_latency
    budget = Budget(allowed, room_for_parameters(memory, memory.usage["parameter"].total))
    aim, tried, best = options.snr_db, set[tuple[int, ...]](), None
    for _ in range(TRIES):
        least = total * 10 ** ((snr - aim) / 10)
        steps = choose(units, tensors, noise, costs, budget, least)
        chosen = tuple(sorted(place for step in steps for place in step.units))
        if not chosen or chosen in tried:
            break
        tried.add(chosen)
        made = trial.make([name for place in chosen for name in units[place].names])
        estimate, now = latency_of(made.model)
        more, got = estimate.model.us - latency, made.snr(used, references)
        if now.param_copy != memory.param_copy:
            budget = replace(budget, room=0.8 * budget.room)  # the chip's plan of tensors is not as tight as was expected
        elif more > allowed:
            budget = replace(budget, us=budget.us * min(0.98 * allowed / more, 0.95))
        else:
            shown = tuple(_shown(step, units, total) for step in steps)
            predicted = snr + decibels(max(1 - sum(step.noise for step in shown), 1e-9))
            if best is None or got > best.measured_db:
                best = MixedPrecision(
                    *(shown, snr, predicted, got, latency, estimate.model.us, size, len(made.data), options.more_latency),
                    reason=_reason(options, got, units, tensors, noise, costs, budget, least),
                )
                graph = made.graph
            if got >= options.snr_db:
                break
            aim = max(aim + options.snr_db - got, predicted + BEYOND)  # so that other layers than these are chosen
    if best is None or best.measured_db <= snr:
        return finished(base.graph, replace(stays, reason=f"as none is worth its time with {options.more_latency:+.0%} latency"))
    return finished(graph, best)


def _kept(setting: QuantizationSetting) -> set[str]:
    """Names of the nodes about which the user has said something."""
    by_hand = setting.quant_config_modify_setting.custom_config if setting.quant_config_modify else {}
    return {*setting.dispatching_table.platforms, *setting.custom_tqc, *by_hand}


def _shown(step: Choice, units: Sequence[Unit], total: float) -> Step:
    return Step(tuple(name for place in step.units for name in units[place].names), step.noise / total, step.us)


def _reason(
    options: MixedPrecisionSetting,
    got: float,
    units: Sequence[Unit],
    tensors: Sequence[Held],
    noise: Noise,
    costs: Costs,
    budget: Budget,
    least: float,
) -> str:
    """What kept further layers in 8 bits."""
    if got >= options.snr_db:
        return f"{options.snr_db:g} dB are reached"
    steps = choose(units, tensors, noise, costs, budget, least)
    if len(choose(units, tensors, noise, costs, replace(budget, room=math.inf), least)) > len(steps):
        return "with more layers, parameters would no longer be copied to RAM"
    if len(choose(units, tensors, noise, costs, replace(budget, us=math.inf), least)) > len(steps):
        return f"the budget of {options.more_latency:+.0%} latency is used"
    return "more layers would not help"


@dataclass(frozen=True)
class _Made:
    """A graph and its file."""

    graph: QuantGraph
    lowered: Lowered
    data: bytes

    @property
    def model(self) -> Model:
        return Model(self.data, target=self.graph.chip)

    def snr(self, samples: Iterable[Sample], references: Sequence[Mapping[str, Any]]) -> float:
        found = output_snr(self.data, self.graph, self.lowered, samples, references).values()
        return float(np.mean([min(max(decibels, -LARGEST_DB), LARGEST_DB) for decibels in found]))


class _Trial:
    """Makes files of one network with different layers in 16 bits."""

    def __init__(self, platform: TargetPlatform, setting: QuantizationSetting, export: ExportOptions, quantize: Quantize) -> None:
        self._platform, self._setting, self._export, self._quantize = platform, setting, export, quantize

    def make(self, names: Sequence[str]) -> _Made:
        graph = self._quantize(wide_setting(self._setting, names, self._platform))
        warnings = list(graph.warnings)
        record, lowered = build_record(graph, self._export)
        graph.warnings[:] = warnings  # the file is made once more, and warns then
        return _Made(graph, lowered, file_bytes(record))


def _references(graph: QuantGraph, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    floating = FloatRun(graph.original, [value.name or "" for value in graph.model.graph.outputs])
    return [floating.run(sample) for sample in samples]
