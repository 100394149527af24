"""The fitted costs of every chip, read from ``costs.toml`` (written by ``benchmarks/latency/fit_latency.py``)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.estimate.cost import PARAMETERS, Memories
from espdl.estimate.modules import BoardModule

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PictureCost:
    """Time outside the model, of pictures: microseconds per unit, and the standard deviation of its logarithm."""

    us: float
    error: float


@dataclass(frozen=True)
class Costs:
    """What a chip's work costs.

    Attributes:
        cycles: [P], of every parameter of :data:`PARAMETERS`. covariance: [P, P], of their logarithms.
        model_error, layer_error: standard deviation of the logarithm of a whole model's and of one layer's time around the estimate,
            from published ones that the fit had not seen.
        borrowed: likewise what comes on top because the costs are those of another chip; 0 for the chip that was measured.
        runs: number of published runs of models that the costs come from.
        preprocess: per pixel of the model's input, postprocess: per number of its outputs; None where nothing was published.
    """

    cycles: Array
    covariance: Array
    model_error: float
    layer_error: float
    borrowed: float
    runs: int
    caches: tuple[int, ...]
    thrash: tuple[float, float]
    spill: tuple[float, float]
    psram_mb_s: float
    flash_mb_s: float
    preprocess: PictureCost | None
    postprocess: PictureCost | None

    def memories(self, module: BoardModule, filters_in: str) -> Memories:
        """Memories of a module, relative to those that the costs were fitted on. ``filters_in``: ``psram``, ``flash`` or ``internal``."""
        return Memories(
            self.caches,
            self.thrash,
            self.spill,
            filters_in,
            self.psram_mb_s / module.psram_mb_s if module.psram_mb_s else 1.0,
            self.flash_mb_s / module.flash_mb_s,
        )

    def factor(self, shares: Array, error: float) -> float:
        """Standard deviation of the logarithm of a time whose parts are ``shares`` [P] of the parameters."""
        return float(np.sqrt(error**2 + self.borrowed**2 + shares @ self.covariance @ shares))


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(resources.files("espdl.estimate").joinpath("costs.toml").read_text(encoding="utf-8"))


@cache
def costs_of(chip: Chip) -> Costs:
    """The costs that count for ``chip``."""
    known = _file()
    name, borrowed = known["chips"][chip.name]
    facts = known["sets"][name]

    def picture(part: str) -> PictureCost | None:
        return PictureCost(facts[f"{part}_us"], facts[f"{part}_error"]) if f"{part}_us" in facts else None

    return Costs(
        np.array([facts[parameter] for parameter in PARAMETERS]),
        np.array(facts["covariance"]),
        facts["model_error"],
        facts["layer_error"],
        borrowed,
        facts["runs"],
        tuple(facts["caches"]),
        tuple(known["thrash"]),
        tuple(known["spill"]),
        facts["psram_mb_s"],
        facts["flash_mb_s"],
        picture("pixel"),
        picture("output"),
    )
