"""Running the files of a directory, on several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from espdl.chips import CHIPS, Chip, get_chip
from espdl.dl.base import get_kernels
from espdl.dl.filetest import judge_model
from espdl.dl.target import Evidence, candidate_chips, read_evidence, same_arithmetic
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, FbsModel
from espdl.report.conformance.cases import UNREADABLE, UNTOLD, Case, CppVerdict, chip_name, dtype_of, operator_of
from espdl.report.conformance.causes import FileFacts, causes_of, tolerances_of
from espdl.report.conformance.published import Row

CHUNK = 24
"""Files a process takes at once: few enough that the bar moves, enough that asking costs nothing."""

FEW = 48
"""Up to so many files are run in this process: starting others would take longer."""


@dataclass(frozen=True)
class Settings:
    """With what every file is run.

    Attributes:
        target: chip; empty takes it from each file, the index, or the folders it lies in.
        arithmetic: ``reference`` or ``silicon``.
        backend: kernels; None for the default.
    """

    target: str = ""
    arithmetic: str = "reference"
    backend: str | None = None


@dataclass(frozen=True)
class Task:
    """One file: its path, its name in the report, and what an index says of it."""

    path: Path
    name: str
    row: Row | None = None


def run_tasks(tasks: Sequence[Task], settings: Settings, jobs: int) -> Iterator[Case]:
    """The cases of all files, in order.

    Raises:
        EspdlError: where a process ends that runs files, and for a backend that is not there.
    """
    get_kernels(settings.backend)
    if jobs <= 1 or len(tasks) <= FEW:
        for task in tasks:
            yield from run_file(task, settings)
        return
    chunks = [tasks[i : i + CHUNK] for i in range(0, len(tasks), CHUNK)]
    # a fresh interpreter: a copy of this one would have the locks of its threads, but not the threads
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(chunks)), context, initializer=_start) as pool:
        try:
            for cases in pool.map(_run_chunk, chunks, [settings] * len(chunks)):
                yield from cases
        except BrokenProcessPool:
            raise EspdlError(
                "a process that runs files has ended",
                why="out of memory, or a fault in a kernel",
                hint="--jobs 1 shows at which file",
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def default_jobs() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


def _start() -> None:
    """The parent tells what is to be told, and stops its children itself."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_chunk(tasks: Sequence[Task], settings: Settings) -> list[Case]:
    return [case for task in tasks for case in run_file(task, settings)]


def run_file(task: Task, settings: Settings) -> list[Case]:
    """One case, or one for each model of a package. Never raises :class:`EspdlError`: what goes wrong is the case's outcome."""
    try:
        loader = FbsLoader(task.path)
    except EspdlError as error:
        return [_unreadable(task, task.name, error)]
    cases = []
    for index, model_name in enumerate(loader.model_names):
        name = f"{task.name}[{model_name}]" if model_name else task.name
        try:
            cases.append(_run_model(loader.load(index), name, task, settings))
        except EspdlError as error:
            cases.append(_unreadable(task, name, error))
    return cases


def _unreadable(task: Task, name: str, error: EspdlError) -> Case:
    row = task.row
    operator, dtype = (row.operator, row.dtype or "none") if row else (UNREADABLE, "none")
    chip = row.target if row else _folder_chip(task) or UNTOLD
    return Case(name, operator, dtype, chip, "error", str(error), cpp=row.cpp if row else CppVerdict.UNKNOWN)


def _run_model(fbs_model: FbsModel, name: str, task: Task, settings: Settings) -> Case:
    row = task.row
    operator = row.operator if row else operator_of(fbs_model)
    dtype = (row.dtype if row else "") or dtype_of(fbs_model)
    cpp = row.cpp if row else CppVerdict.UNKNOWN
    told = _told_chip(fbs_model, task)
    if settings.target:
        chip = get_chip(settings.target)
        if not _may_run(read_evidence(fbs_model), told, chip):
            return Case(name, operator, dtype, told or UNTOLD, "other chip", f"not for {chip.name}", cpp=cpp)
        told = chip.name
    verdict = judge_model(fbs_model, name, told or None, settings.arithmetic, settings.backend)
    facts = FileFacts(fbs_model)
    return Case(
        name,
        operator,
        dtype,
        told or chip_name(verdict.targets),
        verdict.outcome.value,
        verdict.detail,
        verdict.outputs,
        cpp,
        causes_of(facts, verdict) if cpp is CppVerdict.FAILS else (),
        tolerances_of(facts, verdict),
    )


def _told_chip(fbs_model: FbsModel, task: Task) -> str:
    """The chip that the file's metadata tells, the index, a folder it lies in, or the file's weights; empty where none does."""
    evidence = read_evidence(fbs_model)
    if evidence.metadata:
        return get_chip(evidence.metadata).name
    if task.row is not None and task.row.target in CHIPS:
        return task.row.target
    folder = _folder_chip(task)
    if folder and not evidence.contradiction(get_chip(folder)):
        return folder
    candidates = candidate_chips(evidence)
    return candidates[0].name if len(candidates) == 1 else ""


def _folder_chip(task: Task) -> str:
    """The nearest folder that is called like a chip, among those of the report; empty where none is."""
    return next((part for part in reversed(Path(task.name).parts[:-1]) if part in CHIPS), "")


def _may_run(evidence: Evidence, told: str, chip: Chip) -> bool:
    return not evidence.contradiction(chip) and (not told or same_arithmetic(get_chip(told), chip))
