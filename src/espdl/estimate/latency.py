"""How long a model takes on a chip: an estimate with its interval, layer by layer and in sum.

Every figure is a central estimate and a 90 % interval. How wide it is was measured: on published latencies that the fit had not seen
(``benchmarks/latency``), for whole models and for single layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import exp, prod
from typing import Any

import numpy as np

from espdl.chips import Chip
from espdl.dl import Model
from espdl.dtypes import RuntimeMode
from espdl.estimate.cost import CAUSES, PARAMETERS, amounts, splits
from espdl.estimate.costs import Array, Costs, PictureCost, costs_of
from espdl.estimate.memory import MemoryEstimate, estimate_memory
from espdl.estimate.modules import BoardModule
from espdl.estimate.workload import Work, workload

DEVIATIONS = 1.645
"""Standard deviations on either side of the middle that hold 90 %."""


@dataclass(frozen=True)
class Time:
    """Microseconds: the estimate, and the ends of its 90 % interval."""

    us: float
    low: float
    high: float

    @classmethod
    def spread(cls, us: float, deviation: float) -> Time:
        """``us`` with a standard deviation of its logarithm."""
        factor = exp(DEVIATIONS * deviation)
        return cls(us, us / factor, us * factor)

    def text(self) -> str:
        """``12.3 ms (9.1 .. 16.6)``."""
        return f"{_milliseconds(self.us)} ms ({_milliseconds(self.low)} .. {_milliseconds(self.high)})"


def _milliseconds(us: float) -> str:
    ms = us / 1000
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}" if ms >= 0.1 else f"{ms:.3f}"


@dataclass(frozen=True)
class Layer:
    """One node.

    Attributes:
        time: its estimate. share: of the model's time, 0 to 1.
        bound: what takes most of it, see :data:`espdl.estimate.cost.CAUSES`. causes: microseconds by cause, those that are not 0.
        macs: multiply-accumulate operations. two_cores: whether it is split.
    """

    name: str
    op_type: str
    time: Time
    share: float
    bound: str
    causes: dict[str, float]
    macs: float
    two_cores: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.op_type,
            "latency_us": self.time.us,
            "low_us": self.time.low,
            "high_us": self.time.high,
            "share": self.share,
            "bound_by": self.bound,
            "causes_us": self.causes,
            "macs": self.macs,
            "two_cores": self.two_cores,
        }


@dataclass(frozen=True)
class Latency:
    """A model on a module.

    Attributes:
        model: time of ``Model.run``. preprocess, postprocess: around it, for networks that take a picture; None where nothing is known.
        layers: in running order.
        filters_in: where the parameters lie: ``psram``, ``flash`` or ``internal``.
        basis: in words, what the figures rest on.
    """

    chip: Chip
    module: BoardModule
    mode: RuntimeMode
    model: Time
    preprocess: Time | None
    postprocess: Time | None
    layers: list[Layer]
    filters_in: str
    basis: str

    @property
    def macs(self) -> float:
        return sum(layer.macs for layer in self.layers)

    @property
    def total(self) -> Time:
        """Preprocessing, model and postprocessing; the interval is that of independent errors, on the scale of the sum."""
        parts = [part for part in (self.preprocess, self.model, self.postprocess) if part is not None]
        us = sum(part.us for part in parts)
        low = us - sum((part.us - part.low) ** 2 for part in parts) ** 0.5
        high = us + sum((part.high - part.us) ** 2 for part in parts) ** 0.5
        return Time(us, low, high)

    def by_cause(self) -> dict[str, float]:
        """Microseconds by cause over all layers, the largest first."""
        sums = dict.fromkeys(CAUSES, 0.0)
        for layer in self.layers:
            for cause, us in layer.causes.items():
                sums[cause] += us
        return dict(sorted(((cause, us) for cause, us in sums.items() if us), key=lambda item: -item[1]))

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON; times in microseconds."""
        return self.summary() | {"layers": [layer.to_dict() for layer in self.layers]}

    def summary(self) -> dict[str, Any]:
        """The same without the layers."""
        return {
            "target": self.chip.name,
            "module": self.module.name,
            "mode": self.mode.name.lower(),
            "parameters_in": self.filters_in,
            "interval": 0.9,
            "basis": self.basis,
            "latency_us": asdict(self.model),
            "preprocess_us": None if self.preprocess is None else asdict(self.preprocess),
            "postprocess_us": None if self.postprocess is None else asdict(self.postprocess),
            "total_us": asdict(self.total),
            "macs": self.macs,
            "by_cause_us": self.by_cause(),
        }


def estimate_latency(
    model: Model,
    memory: MemoryEstimate | None = None,
    mode: RuntimeMode = RuntimeMode.SINGLE_CORE,
    chip: Chip | None = None,
) -> Latency:
    """The latency of a built model.

    Args:
        model: built with the ``max_internal_size`` in question.
        memory: says the module and whether parameters are copied; None for the usual module of the model's chip.
        mode: of ``Model.run`` on the chip, which is single core where nothing is said.
        chip: another one, as if the network had been quantized for it; ``memory`` is of that chip, too.

    Raises:
        EspdlError: naming a node that computes in binary32 what ESP-DL does not load.
    """
    chip = chip or model.chip
    memory = memory or estimate_memory(model, search_internal=False, chip=chip)
    shapes = [tensor.shape for tensor in model.get_inputs().values()]
    pixels = prod(shapes[0][1:3]) if len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][3] in (1, 3) else 0
    outputs = sum(prod(tensor.shape) for tensor in model.get_outputs().values())
    return estimate_work(workload(model), chip, memory.module, memory.parameters_in, mode, pixels=pixels, outputs=outputs)


def estimate_work(
    works: Sequence[Work],
    chip: Chip,
    module: BoardModule,
    filters_in: str,
    mode: RuntimeMode = RuntimeMode.SINGLE_CORE,
    *,
    pixels: int = 0,
    outputs: int = 0,
) -> Latency:
    """The latency of nodes.

    Args:
        works: in running order.
        chip, module, mode: see :func:`estimate_latency`.
        filters_in: where parameters lie: ``psram``, ``flash`` or ``internal``.
        pixels: of the picture that the model takes, 0 for none. outputs: numbers that it gives.
    """
    costs = costs_of(chip)
    memories = costs.memories(module, filters_in)
    unit = costs.cycles / chip.clock_mhz
    prices = dict(zip(PARAMETERS, unit.tolist(), strict=True))
    causes = [
        {
            cause: count * prices[CAUSES[cause]]
            for cause, count in amounts(work, chip.vector_bytes, memories, chip.cores, mode).items()
        }
        for work in works
    ]
    total = sum(sum(times.values()) for times in causes)
    layers = [
        _layer(work, times, total, costs, chip.cores > 1 and splits(work, mode))
        for work, times in zip(works, causes, strict=True)
    ]
    shares = sum((_shares(times) for times in causes), np.zeros(len(PARAMETERS)))
    return Latency(
        chip,
        module,
        mode,
        Time.spread(total, costs.factor(shares / max(total, 1e-12), costs.model_error)),
        _around(costs.preprocess, pixels),
        _around(costs.postprocess, outputs if pixels else 0),
        layers,
        filters_in,
        _basis(chip, costs),
    )


def _shares(times: dict[str, float]) -> Array:
    sums = dict.fromkeys(PARAMETERS, 0.0)
    for cause, us in times.items():
        sums[CAUSES[cause]] += us
    return np.array(list(sums.values()))


def _layer(work: Work, times: dict[str, float], total: float, costs: Costs, two_cores: bool) -> Layer:
    us = sum(times.values())
    shares = _shares(times) / us if us else np.zeros(len(PARAMETERS))
    return Layer(
        work.name,
        work.op_type,
        Time.spread(us, costs.factor(shares, costs.layer_error)),
        us / total if total else 0.0,
        max(times, key=times.__getitem__) if us else "nothing: the same bytes",
        {cause: part for cause, part in times.items() if part},
        work.macs,
        two_cores,
    )


def _around(cost: PictureCost | None, count: int) -> Time | None:
    return Time.spread(cost.us * count, cost.error) if cost is not None and count else None


def _basis(chip: Chip, costs: Costs) -> str:
    if not costs.runs:
        return f"nothing is published of models on {chip.name}: taken from convolutions in plain C on another chip, by the clock"
    if costs.borrowed:
        return f"nothing is published of {chip.name}: taken from a chip with the same vector unit, by the clock"
    return f"fitted to {costs.runs} published latencies on {chip.name}"
