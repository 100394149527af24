"""The whole analysis of a file: errors, statistics, and what to turn; what ``espdl analyse`` prints."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espdl.dl.model import Model
from espdl.fbs import FbsLoader
from espdl.quantize.analysis.advice import Advice, advise
from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.graphwise import graphwise
from espdl.quantize.analysis.layerwise import layerwise
from espdl.quantize.analysis.noise import Means, snr
from espdl.quantize.analysis.statistics import TensorStatistics, statistics
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.dataloader import Sample, samples_of
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.passes.tools import input_shapes_of
from espdl.quantize.pictures import PictureOptions
from espdl.quantize.pipeline import prepare
from espdl.quantize.platform import TargetPlatform, get_target_platform
from espdl.quantize.recipe import load_recipe
from espdl.quantize.scale import scales_beside
from espdl.quantize.setting import QuantizationSettingFactory

SMALL = 0.01
"""Noise to signal at the outputs below which there is nothing to advise; the guide calls up to 0.1 small."""


_WIDTHS = {"S8": "w8a8", "S16": "w16a16", "W8A16": "w8a16"}


@dataclass(frozen=True)
class AnalysisJob:
    """What to analyse.

    Attributes:
        network, file: the ``.onnx`` file and the ``.espdl`` file made from it.
        data: see :func:`espdl.quantize.calibration_data.open_calibration_data`.
        steps: the largest number of samples to use.
        recipe: the one that the file was made with; the defaults when None.
        target: chip; None takes it from the file.
        pictures: how pixels become numbers.
        input_shapes: of inputs with dynamic axes.
        key: of an encrypted file.
    """

    network: Path
    file: Path
    data: str
    steps: int = 32
    recipe: Path | None = None
    target: str | None = None
    pictures: PictureOptions | None = None
    input_shapes: Mapping[str, Sequence[int]] | Sequence[Sequence[int]] | None = None
    key: bytes | None = None


@dataclass(frozen=True)
class Analysis:
    """What was found.

    Attributes:
        target, bits: chip, and the width of most activations.
        samples: where they come from, in words.
        outputs: noise to signal power of the network's outputs, by name.
        graphwise, layerwise: noise to signal power by layer, in running order.
        statistics: of every tensor, in running order.
        advice: what to turn; None where the noise is below :data:`SMALL`, and where it was not asked for.
    """

    target: str
    bits: int
    samples: str
    outputs: dict[str, float]
    graphwise: dict[str, float]
    layerwise: dict[str, float]
    statistics: list[TensorStatistics]
    advice: Advice | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "bits": self.bits,
            "samples": self.samples,
            "outputs": {name: {"noise_to_signal": ratio, "snr_db": decibels(ratio)} for name, ratio in self.outputs.items()},
            "graphwise": self.graphwise,
            "layerwise": self.layerwise,
            "statistics": [item.to_dict() for item in self.statistics],
            "advice": self.advice.to_dict() if self.advice is not None else None,
        }


def decibels(ratio: float) -> float:
    """A noise to signal ratio as SNR in dB."""
    return -10 * math.log10(ratio) if ratio > 0 else math.inf


def analyse(job: AnalysisJob, *, advice: bool = True) -> Analysis:
    """Analyses a file in the chip's own arithmetic.

    Args:
        job: what to analyse.
        advice: whether to try what could be turned, which takes longer than all the rest.

    Raises:
        EspdlError: naming the file, setting, tensor or sample concerned.
    """
    source = FbsLoader(job.file).load(key=job.key)
    model = Model(source, target=job.target)
    platform = platform_of(model)
    chip, bits = platform.chip, platform.activation_bits
    setting = load_recipe(job.recipe, platform) if job.recipe else QuantizationSettingFactory.espdl_setting(bits)
    loaded = load_network(job.network, job.input_shapes)
    data = open_calibration_data(job.data, input_shapes_of(loaded), job.steps, job.pictures)
    network = prepare(loaded, chip, setting)
    samples = list(samples_of(data, network, len(data)))
    scales = scales_beside(job.file, model.fbs_model.record.metadata_props)
    compared = Compared(source, network, samples, target=chip, scales=scales)
    outputs = _at_outputs(compared)
    alone = layerwise(compared, steps=None)
    return Analysis(
        chip.name,
        bits,
        data.source,
        outputs,
        graphwise(compared, steps=None),
        alone,
        statistics(compared, None),
        advise(loaded, samples, platform, setting, alone) if advice and max(outputs.values(), default=0.0) > SMALL else None,
    )


def platform_of(model: Model) -> TargetPlatform:
    """The chip of a file, with the widths of most of its layers."""
    texts = [a.value for node in model.fbs_model.record.graph.node for a in node.attribute if a.name == "quant_type"]
    found = Counter(_WIDTHS.get(str(text).removeprefix("SYMM_")) for text in texts)
    # The layers without weights of such a file compute in plain 16 bits.
    width = "w8a16" if found["w8a16"] else max(("w8a8", "w16a16"), key=lambda name: found[name])
    return get_target_platform(model.chip, width)


def _at_outputs(compared: Compared) -> dict[str, float]:
    floating, means = FloatRun(compared.network, compared.outputs, threads=1), Means()

    def work(sample: Sample) -> dict[str, float]:
        exact, got = floating.run(sample), compared.reals(sample, compared.outputs)
        return {name: snr(got[name], exact[name]) for name in compared.outputs}

    for errors in compared.each(work, None, "Comparing the outputs"):
        for name, error in errors.items():
            means.add(name, error)
    return means()
