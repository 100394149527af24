"""A conformance run as data: all cases, and what they count up to."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from espdl.chips import CHIPS
from espdl.dl.base import get_kernels
from espdl.errors import EspdlError
from espdl.progress import track
from espdl.report.conformance.cases import DTYPES, Case, Comparison, Tolerance
from espdl.report.conformance.published import read_published
from espdl.report.conformance.runner import Settings, Task, default_jobs, run_tasks
from espdl.version import __version__


@dataclass
class Cell:
    """Counts of one operator, type and chip, or of several of them.

    Attributes:
        passed, failed: files. known: that do not pass here nor in the C++ code.
        tolerated: of the passing, with a tolerance. off_by_one: of these, with that of int16.
    """

    passed: int = 0
    failed: int = 0
    known: int = 0
    tolerated: int = 0
    off_by_one: int = 0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.known

    @property
    def text(self) -> str:
        """``12``; ``10/12`` where two fail; ``10+2`` where two fail in the C++ code, too."""
        if self.failed:
            return f"{self.passed}/{self.total}"
        return f"{self.passed}+{self.known}" if self.known else str(self.passed)

    def add(self, case: Case) -> None:
        self.passed += case.passed
        self.failed += case.failed
        self.known += not case.passed and not case.failed
        self.tolerated += bool(case.tolerances)
        self.off_by_one += any(used.kind == "int16" for used in case.tolerances)


Key = tuple[str, str, str]
"""Operator, chip, type."""


@dataclass(frozen=True)
class ConformanceReport:
    """Everything that ``espdl conformance`` tells.

    Attributes:
        directory: as it was given.
        settings: with what the files were run. backend: kernels that ran. jobs: processes. seconds: of the whole run.
        cpp_name: ``C++ 3.3.9``; empty where nothing is known of the C++ code.
        cases: in the order of their files.
    """

    directory: str
    settings: Settings
    backend: str
    jobs: int
    seconds: float
    cpp_name: str
    cases: tuple[Case, ...]
    version: str = field(default=__version__)

    @cached_property
    def tested(self) -> list[Case]:
        return [case for case in self.cases if case.tested]

    @property
    def failures(self) -> list[Case]:
        """The only real ones: failing here, and not known to fail in the C++ code."""
        return [case for case in self.tested if case.failed]

    @property
    def passed(self) -> bool:
        """Whether something was tested, and nothing failed."""
        return bool(self.tested) and not self.failures

    @cached_property
    def matrix(self) -> dict[Key, Cell]:
        return self._count(lambda case: (case.operator, case.chip, case.dtype))

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """Chip and type of every column that holds something, chips and types in their own order."""
        found = {(chip, dtype) for _, chip, dtype in self.matrix}
        order = [*CHIPS]
        return sorted(found, key=lambda pair: (order.index(pair[0]) if pair[0] in order else len(order), DTYPES.index(pair[1])))

    @cached_property
    def operators(self) -> list[str]:
        return sorted({operator for operator, _, _ in self.matrix}, key=str.lower)

    def totals(self) -> dict[tuple[str, str], Cell]:
        """By chip and type, over all operators."""
        return self._count(lambda case: (case.chip, case.dtype))

    def _count(self, key: Any) -> dict[Any, Cell]:
        cells: dict[Any, Cell] = {}
        for case in self.tested:
            cells.setdefault(key(case), Cell()).add(case)
        return cells

    @cached_property
    def outcomes(self) -> Counter[str]:
        return Counter(case.outcome for case in self.cases)

    @cached_property
    def comparisons(self) -> Counter[Comparison]:
        return Counter(comparison for case in self.tested if (comparison := case.comparison) is not None)

    def tolerances(self, kind: str) -> list[tuple[Case, Tolerance]]:
        """The uses of one tolerance, ``int16`` or ``float32``."""
        return [(case, used) for case in self.tested for used in case.tolerances if used.kind == kind]

    def values(self, kind: str) -> int:
        """Elements of that type that were compared."""
        return sum(output["size"] for case in self.tested for output in case.outputs if output["dtype"] == kind)

    def to_dict(self) -> dict[str, Any]:
        return {
            "directory": self.directory,
            "espdl": self.version,
            "target": self.settings.target or None,
            "arithmetic": self.settings.arithmetic,
            "backend": self.backend,
            "jobs": self.jobs,
            "seconds": round(self.seconds, 3),
            "passed": self.passed,
            "counts": {name: self.outcomes[name] for name in ("pass", "fail", "error", "skip", "other chip")},
            "failures": len(self.failures),
            "cpp": self.cpp_name or None,
            "comparison": {comparison.name.lower(): self.comparisons[comparison] for comparison in Comparison},
            "tolerance": {kind: self._tolerance(kind) for kind in ("int16", "float32")},
            "matrix": [
                {"operator": operator, "chip": chip, "dtype": dtype, "passed": cell.passed, "failed": cell.failed}
                | {"fails_in_both": cell.known, "with_tolerance": cell.tolerated}
                for (operator, chip, dtype), cell in sorted(self.matrix.items())
            ],
            "files": [case.to_dict() for case in self.cases],
        }

    def _tolerance(self, kind: str) -> dict[str, Any]:
        uses = self.tolerances(kind)
        elements = sum(used.elements for _, used in uses)
        return {
            "elements": elements,
            "of": self.values(kind),
            "files": len(uses),
            "largest": max((u.largest for _, u in uses), default=0),
        }


def run_directory(directory: Path, settings: Settings, jobs: int | None = None) -> ConformanceReport:
    """Runs every ``.espdl`` file under ``directory``, whatever its folders, and shows on standard error how far it is.

    Args:
        directory: to look in.
        settings: with what every file is run.
        jobs: processes; all cores when None.

    Raises:
        EspdlError: where there is no such file, and where an index of the directory cannot be read.
    """
    paths = find_files(directory)
    if not paths:
        raise EspdlError("no .espdl file", where=str(directory), hint="name the directory that holds the files, or one above it")
    published = read_published(directory)
    tasks = [Task(path, _name(path, directory), published.rows.get(path.resolve())) for path in paths]
    jobs = default_jobs() if jobs is None else jobs
    started = time.perf_counter()
    cases = tuple(track(run_tasks(tasks, settings, jobs), f"running {directory.name or directory}", len(tasks)))
    seconds = time.perf_counter() - started
    backend = get_kernels(settings.backend).name
    known = published.cpp_name if any(case.comparison for case in cases) else ""
    return ConformanceReport(str(directory), settings, backend, jobs, seconds, known, cases)


def find_files(directory: Path) -> list[Path]:
    """All ``.espdl`` files under a directory, sorted; links to directories are not followed."""
    found: Iterable[tuple[str, list[str], list[str]]] = os.walk(directory)
    return sorted(Path(folder) / name for folder, _, names in found for name in names if name.endswith(".espdl"))


def _name(path: Path, directory: Path) -> str:
    """The path under the directory; with the directory's own name where that is a chip's (``CHIP/Add/a.espdl``)."""
    inside = path.relative_to(directory)
    own: Sequence[str] = [directory.resolve().name] if directory.resolve().name in CHIPS else []
    return str(Path(*own, inside))
