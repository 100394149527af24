"""Gathering what a report shows: one model, its plan, its time, its findings, and with data its values and errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from espdl.dl import Model
from espdl.dtypes import RuntimeMode
from espdl.errors import EspdlError
from espdl.estimate.latency import Latency, estimate_latency
from espdl.estimate.memory import MemoryEstimate, estimate_memory
from espdl.estimate.modules import get_module, module_names
from espdl.estimate.packing import live_bytes
from espdl.quantize.analysis.analyse import Analysis, AnalysisJob, analyse
from espdl.quantize.pictures import PictureOptions
from espdl.report.inspection import Inspection, inspect_file
from espdl.report.lint import Finding, lint_model
from espdl.report.page.histograms import Histogram, activation_histograms, weight_histograms
from espdl.report.page.samples import find_samples


@dataclass(frozen=True)
class ReportJob:
    """What to report on.

    Attributes:
        file: the ``.espdl`` file. target: chip; None takes it from the file.
        module: name of the module to fit; None for the usual one. mode: of running on the chip.
        max_internal_size: bytes of internal RAM that the plan fills first.
        network: the float network that the file was made from; with ``data``, the error of every layer is measured.
        data: samples; None takes the test values in the file for what is in the activations.
        steps: the largest number of samples.
        recipe: that the file was made with. pictures: how pixels become numbers.
        key: of an encrypted file.
    """

    file: Path
    target: str | None = None
    module: str | None = None
    mode: RuntimeMode = RuntimeMode.SINGLE_CORE
    max_internal_size: int = 0
    network: Path | None = None
    data: str | None = None
    steps: int = 8
    recipe: Path | None = None
    pictures: PictureOptions | None = None
    key: bytes | None = None


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        inspection: header, tensors and graph.
        model: the file, loaded and planned.
        memory: on the module in question. others: on the other modules that carry the chip.
        live: bytes that hold something, by step.
        latency: None where an operator does not load on the chip; ``refusal`` says which.
        findings: of lint, the gravest first.
        weights, activations: histograms by tensor. samples: where the activations come from, in words; empty without any.
        errors: against the float network; None without it.
    """

    inspection: Inspection
    model: Model
    memory: MemoryEstimate
    others: tuple[MemoryEstimate, ...]
    live: list[int]
    latency: Latency | None
    refusal: str
    findings: list[Finding]
    weights: dict[str, Histogram]
    activations: dict[str, Histogram]
    samples: str
    errors: Analysis | None


def collect(job: ReportJob) -> Report:
    """Reads, plans, and runs the file on its samples.

    Raises:
        EspdlError: for a file that cannot be loaded, data that do not fit, a module that does not exist, and a float network without data.
    """
    if job.network is not None and job.data is None:
        raise EspdlError("the float network alone gives no errors", hint="give data to run both on (--data)")
    inspection = inspect_file(job.file, job.target, job.key)
    model = _load(job, psram=True)
    board = get_module(model.chip, job.module)
    boards = [get_module(model.chip, name) for name in module_names(model.chip)]
    without = model if all(b.psram for b in [board, *boards]) else _load(job, psram=False)
    chosen = model if board.psram else without
    samples = find_samples(chosen, job.data, job.steps, job.pictures)
    memory = estimate_memory(chosen, board)
    rest = [b for b in boards if b.name != board.name]
    others = tuple(estimate_memory(model if b.psram else without, b, search_internal=False) for b in rest)
    latency, refusal = None, ""
    try:
        latency = estimate_latency(chosen, memory, job.mode)
    except EspdlError as error:
        refusal = str(error)
    analysis = (
        AnalysisJob(job.network, job.file, job.data or "", job.steps, job.recipe, job.target, job.pictures, key=job.key)
        if job.network
        else None
    )
    return Report(
        inspection,
        chosen,
        memory,
        others,
        live_bytes(chosen.memory.plan, len(chosen.modules)),
        latency,
        refusal,
        lint_model(chosen, samples.arrays or None),
        weight_histograms(chosen.fbs_model.record.graph),
        activation_histograms(chosen, samples),
        samples.source,
        None if analysis is None else analyse(analysis, advice=False),
    )


def _load(job: ReportJob, *, psram: bool) -> Model:
    return Model(job.file, max_internal_size=job.max_internal_size, target=job.target, key=job.key, psram=psram)
