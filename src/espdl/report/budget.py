"""Limits that a model has to keep on a chip: memory, latency, accuracy. What ``espdl budget`` and the pytest fixture judge."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espdl.dtypes import RuntimeMode
from espdl.errors import EspdlError
from espdl.estimate.latency import Latency, estimate_latency
from espdl.estimate.memory import MemoryEstimate, ParamCopy, estimate_memory, load_for_module, size_text
from espdl.quantize.pictures import PictureOptions
from espdl.report.accuracy import measure_top1


class Judge(enum.Enum):
    """Which end of a latency's interval a limit is held against."""

    ESTIMATE = "estimate"
    UPPER = "upper"


@dataclass(frozen=True)
class Limits:
    """What may not be exceeded; None leaves a quantity free.

    Attributes:
        max_latency_ms: of one run of the model, without what is around it.
        max_internal, max_psram, max_flash: bytes of the model in each memory; parameters that are copied count in both places.
        min_top1: share of right answers, 0 to 1.
        fits: whether the model has to fit the module.
    """

    max_latency_ms: float | None = None
    max_internal: int | None = None
    max_psram: int | None = None
    max_flash: int | None = None
    min_top1: float | None = None
    fits: bool = True


@dataclass(frozen=True)
class Row:
    """One limit and what it was held against, in words and as numbers.

    Attributes:
        kept: whether the limit is kept.
        found, limit: in ``unit`` (``ms``, ``bytes``, ``share``); None for the fit into the module.
        note: what else is to know: the interval of an estimate, the number of samples.
    """

    name: str
    kept: bool
    found: float | None
    limit: float | None
    unit: str
    text: str
    limit_text: str
    note: str = ""

    def sentence(self) -> str:
        """``latency 12.3 ms, limit: at most 10 ms (estimated, ...)``."""
        limit = f", limit: {self.limit_text}" if self.limit_text else ""
        return f"{self.name} {self.text}{limit}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Budget:
    """A model held against limits."""

    model: str
    target: str
    rows: list[Row]
    memory: MemoryEstimate
    latency: Latency | None

    @property
    def kept(self) -> bool:
        return all(row.kept for row in self.rows)

    @property
    def broken(self) -> list[Row]:
        return [row for row in self.rows if not row.kept]

    def summary(self) -> str:
        """One line per broken limit, or that all are kept."""
        if self.kept:
            return f"{self.model} keeps its budget"
        return "\n".join(f"{self.model}: {row.sentence()}" for row in self.broken)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "kept": self.kept,
            "target": self.target,
            "module": self.memory.module.name,
            "limits": [
                {key: getattr(row, key) for key in ("name", "kept", "found", "limit", "unit", "note")} for row in self.rows
            ],
        }


@dataclass(frozen=True)
class Conditions:
    """On what a model is judged.

    Attributes:
        target, module, max_internal_size, param_copy, mode: as for ``espdl profile``.
        judge: which end of the interval of the latency counts.
        data: labelled, for ``min_top1``; see :func:`espdl.report.accuracy.measure_top1`. pictures, samples: likewise.
    """

    target: str | None = None
    module: str | None = None
    max_internal_size: int = 0
    param_copy: ParamCopy | str = ParamCopy.AUTO
    mode: RuntimeMode = RuntimeMode.SINGLE_CORE
    judge: Judge | str = Judge.ESTIMATE
    data: str | os.PathLike[str] | None = None
    pictures: PictureOptions | None = None
    samples: int | None = None


def check_budget(file: str | os.PathLike[str], limits: Limits, conditions: Conditions | None = None) -> Budget:
    """Holds a file against limits.

    Raises:
        EspdlError: for a file that does not run on the chip, a limit on accuracy without data, and where there is nothing to judge.
    """
    given = conditions or Conditions()
    if limits.min_top1 is not None and given.data is None:
        raise EspdlError("there are no data to measure top-1 on", hint="give labelled data")
    if limits == Limits(fits=False):
        raise EspdlError("there is no limit", hint="give one, --max-latency-ms say")
    path = Path(file)
    model, board = load_for_module(path, given.module, given.target, max_internal_size=given.max_internal_size)
    memory = estimate_memory(model, board, given.param_copy, search_internal=False)
    rows = _memory_rows(limits, memory)
    latency = None
    if limits.max_latency_ms is not None:
        latency = estimate_latency(model, memory, given.mode)
        rows.append(_latency_row(limits.max_latency_ms, latency, Judge(given.judge)))
    if limits.min_top1 is not None and given.data is not None:
        accuracy = measure_top1(model, given.data, given.pictures, given.samples)
        rows.append(
            Row(
                "top-1",
                accuracy.top1 >= limits.min_top1,
                accuracy.top1,
                limits.min_top1,
                "share",
                f"{accuracy.top1:.2%}",
                f"at least {limits.min_top1:.2%}",
                f"measured on {accuracy.samples} samples",
            )
        )
    return Budget(path.name, model.chip.name, rows, memory, latency)


def _memory_rows(limits: Limits, memory: MemoryEstimate) -> list[Row]:
    rows = []
    if limits.fits:
        rows.append(Row("module", memory.fits, None, None, "", memory.verdict(), ""))
    for name, need, limit in (
        ("internal RAM", memory.internal, limits.max_internal),
        ("PSRAM", memory.psram, limits.max_psram),
        ("flash", memory.flash, limits.max_flash),
    ):
        if limit is not None:
            kept = need.needed <= limit
            rows.append(
                Row(name, kept, need.needed, limit, "bytes", size_text(need.needed), f"at most {size_text(limit)}", "exact plan")
            )
    return rows


def _latency_row(limit: float, latency: Latency, judge: Judge) -> Row:
    time = latency.model
    found = (time.us if judge is Judge.ESTIMATE else time.high) / 1000
    note = f"estimated, 90 % interval {time.low / 1000:.4g} .. {time.high / 1000:.4g} ms"
    if judge is Judge.ESTIMATE and found <= limit < time.high / 1000:
        note += "; the interval reaches beyond the limit"
    name = "latency" if judge is Judge.ESTIMATE else "latency, upper end"
    return Row(name, found <= limit, found, limit, "ms", f"{found:.4g} ms", f"at most {limit:g} ms", note)
