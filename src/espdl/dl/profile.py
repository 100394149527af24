"""The tables that a model prints about itself, as text made from plain data (runtime spec 4.4, 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MemInfo:
    """Bytes in each memory of a chip."""

    internal: int = 0
    psram: int = 0
    flash: int = 0

    def __add__(self, other: MemInfo) -> MemInfo:
        return MemInfo(self.internal + other.internal, self.psram + other.psram, self.flash + other.flash)

    @property
    def total(self) -> int:
        return self.internal + self.psram + self.flash


@dataclass(frozen=True)
class ModuleInfo:
    """One operator of a profile. ``latency`` in microseconds."""

    type: str
    latency: float


_ROWS = ("fbs_model", "parameter", "parameter_copy", "variable", "others", "total")
_HEADERS = ("internal RAM", "PSRAM", "FLASH")
_PART = " -- "
"""Stands before the row that is a part of the row above it, and before its values."""


def model_header(name: str, version: int = 0, doc_string: str = "", location: str = "") -> str:
    """The line or two above a table: model name, version, description when there is one, and where the model lies when known."""
    line = f"model:{name}, version:{version}"
    if doc_string:
        line += f", description:{doc_string}"
    return f"{line}\n{location}" if location else line


def memory_table(
    info: Mapping[str, MemInfo],
    *,
    name: str | None = None,
    version: int = 0,
    doc_string: str = "",
    location: str = "",
) -> str:
    """The memory summary (spec 4.4).

    Args:
        info: bytes of ``fbs_model``, ``parameter``, ``parameter_copy``, ``variable``, ``others`` and ``total``; an absent one is 0.
        name, version, doc_string, location: for :func:`model_header`; without a name the table stands alone.

    Returns:
        Lines without a final line break. Sizes are KB (1024 bytes); what rounds to 0.00KB is left blank.
    """
    cells = {}
    for row in _ROWS:
        entry = info.get(row, MemInfo())
        texts = [_kilobytes(size) for size in (entry.internal, entry.psram, entry.flash)]
        cells[row] = [_PART + text if text else "" for text in texts] if row == "parameter" else texts
    widths = [len("parameter_copy")]
    widths += [max(len(h), len(cells["total"][i]), len(cells["parameter"][i])) for i, h in enumerate(_HEADERS)]
    rule = _rule(widths)
    lines = [] if name is None else [model_header(name, version, doc_string, location)]
    lines += _title("memory summary", rule)
    lines += [_line(["", *_HEADERS], widths), rule]
    for row, following in zip(_ROWS, (*_ROWS[1:], ""), strict=True):
        label = _PART + row if row == "parameter" else row
        lines.append(_line([label, *cells[row]], widths))
        if following != "parameter":
            lines.append(rule)
    return "\n".join(lines)


def module_table(info: Mapping[str, ModuleInfo] | Iterable[tuple[str, str, float]], sort_module_by_latency: bool = False) -> str:
    """The module summary (spec 4.5).

    Args:
        info: type and latency in microseconds by node name, or rows of (name, type, latency), in the order of the file. Without a row
            ``total`` (type "") the sum is added.
        sort_module_by_latency: slowest first, the total before all; rows of equal latency in alphabetical order.

    Returns:
        Lines without a final line break.
    """
    rows = [(n, m.type, m.latency) for n, m in info.items()] if isinstance(info, Mapping) else list(info)
    total = next((row for row in rows if row[0] == "total"), ("total", "", sum(latency for _, _, latency in rows)))
    rows = [row for row in rows if row[0] != "total"] + [total]
    if sort_module_by_latency:
        rows.sort(key=lambda row: (-row[2], row[0] != "total", row[0]))
    texts = [(name, kind, f"{int(latency)}us") for name, kind, latency in rows]
    headers = ("name", "type", "latency")
    widths = [max(len(headers[i]), *(len(row[i]) for row in texts)) for i in (0, 1)]
    widths.append(max(len(headers[2]), len(f"{int(total[2])}us")))
    rule = _rule(widths)
    lines = [*_title("module summary", rule), _line(headers, widths), rule]
    for text in texts:
        lines += [_line(text, widths), rule]
    return "\n".join(lines)


def _kilobytes(size: int) -> str:
    text = f"{np.float32(size) / np.float32(1024):.2f}KB"  # binary32, as the chip divides
    return "" if text == "0.00KB" else text


def _rule(widths: Sequence[int]) -> str:
    return "+-" + "-+-".join("-" * width for width in widths) + "-+"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _title(title: str, rule: str) -> list[str]:
    space = len(rule) - 2 - len(title)
    before = " " * (space // 2)
    return [rule, f"|{before}{title}{' ' * (space - len(before))}|", rule]
