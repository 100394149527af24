"""Mixed precision from start to end: look where noise comes from, choose what goes to 16 bits, try it, say what came of it."""

from __future__ import annotations

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
from espdl.quantize.mixed.choose import Choice, choose, decibels
from espdl.quantize.mixed.noise import measure_noise
from espdl.quantize.mixed.parts import find_parts
from espdl.quantize.mixed.time import latency_of, room_for_parameters, times_of, wide_setting
from espdl.quantize.platform import TargetPlatform
from espdl.quantize.setting import QuantizationSetting
from espdl.quantize.snr import output_snr
from espdl.wording import counted

SAMPLES = 4
"""Samples on which noise is measured tensor by tensor."""
TRIES = 4
"""Files that are made at most until one keeps the budget."""
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
            return f"mixed precision: no layer is worth its time in 16 bits with {self.more_latency:+.0%} latency"
        return (
            f"mixed precision: {counted(len(self.layers), 'node')} in 16 bits, SNR {self.snr_db:.1f} dB -> {self.measured_db:.1f} dB "
            f"(predicted {self.predicted_db:.1f} dB), {time}"
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
    trial = _Trial(platform, setting, export, quantize)
    base = trial.make(())
    used = list(samples)
    kept = {*setting.dispatching_table.platforms, *setting.custom_tqc}
    if setting.quant_config_modify:
        kept |= set(setting.quant_config_modify_setting.custom_config)
    units, tensors = find_parts(base.graph, kept)
    references = _references(base.graph, used)
    snr = base.snr(used, references)
    estimate, memory = latency_of(base.model)
    latency = estimate.model.us
    options = setting.mixed_precision_setting
    target = options.snr_db
    allowed = latency * (1 + options.more_latency)
    nothing = MixedPrecision((), snr, snr, snr, latency, latency, len(base.data), len(base.data), options.more_latency)
    if not any(unit.is_free for unit in units) or (target is not None and snr >= target) or not used:
        return base.graph, nothing
    noise = measure_noise(base.graph, units, tensors, used[:SAMPLES])
    times = times_of(network, platform, setting, used[:1], base.data, units, tensors, export)
    total = sum(noise.tensors) + sum(noise.parameters)
    budget, aim = allowed - latency, target
    parameters = memory.usage["parameter"].total
    room = room_for_parameters(memory, parameters)
    tried: set[tuple[int, ...]] = set()
    best: tuple[_Made, list[Choice], float, float] | None = None
    for _ in range(TRIES):
        least = total * 10 ** ((snr - aim) / 10) if aim is not None else 0.0
        steps = choose(units, tensors, noise, times, budget, room, least)
        chosen = tuple(sorted(place for step in steps for place in step.units))
        if not chosen or chosen in tried:
            break
        tried.add(chosen)
        made = trial.make([name for place in chosen for name in units[place].names])
        estimate, now = latency_of(made.model)
        got, us = made.snr(used, references), estimate.model.us
        if now.param_copy != memory.param_copy and room > 0:
            # Larger tensors left parameters less room than they had.
            room = min(room_for_parameters(replace(now, param_copy=True), parameters), 0.9 * room)
            continue
        if us > allowed:
            budget *= min(0.98 * (allowed - latency) / max(us - latency, 1e-9), 0.95)
            continue
        if best is None or got > best[2]:
            best = (made, steps, got, us)
        if target is None or got >= target:
            break
        assert aim is not None
        aim += target - got
    if best is None or best[2] <= snr:
        return base.graph, nothing
    made, steps, got, us = best
    shown = tuple(
        Step(tuple(name for place in step.units for name in units[place].names), step.noise / total, step.us) for step in steps
    )
    predicted = snr + decibels(max(1 - sum(step.noise for step in shown), 1e-9))
    return made.graph, MixedPrecision(
        shown, snr, predicted, got, latency, us, len(base.data), len(made.data), options.more_latency
    )


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

    def __init__(
        self, platform: TargetPlatform, setting: QuantizationSetting, export: ExportOptions, quantize: Quantize
    ) -> None:
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


