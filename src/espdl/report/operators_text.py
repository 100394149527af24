"""The table of operators as rows, as facts about one operator, and as a page in Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from espdl.dl.module import Layout
from espdl.report.operators import NARROW, TYPES, OperatorSupport
from espdl.wording import counted

COLUMNS = ("operator", *TYPES, NARROW, "ranks", "layout", "chips", "kernels", "limits")

_LEGEND = (
    "ranks: of the first input. kernels: native where all that it calls has a C++ form, both where some of it has, "
    "numpy where it computes in NumPy on every backend; results are the same bits.",
    "w8a16: int8 weights beside int16 activations; ESP-DL 3.3.9 does not run it, newer versions do.",
)


def table_row(operator: OperatorSupport) -> tuple[str, ...]:
    """One text per entry of ``COLUMNS``."""
    types = ("yes" if dtype in operator.dtypes else "-" for dtype in (*TYPES, NARROW))
    chips = operator.chip_text + ("*" if operator.per_channel else "") + ("+" if operator.firmware and operator.chips else "")
    limits = str(len(operator.limits) or "-")
    return (operator.name, *types, operator.rank_text, operator.layout, chips, operator.kernel_text, limits)


def legend(operators: Sequence[OperatorSupport]) -> list[str]:
    """What the table's words mean, a paragraph each."""
    lines = list(_LEGEND)
    per_channel = next((operator.per_channel for operator in operators if operator.per_channel), ())
    if per_channel:
        lines.append("*: on " + ", ".join(per_channel) + " with one weight exponent per output channel.")
    firmware: dict[str, list[str]] = {}
    for operator in operators:
        if operator.firmware:
            firmware.setdefault(("+: " if operator.chips else "none: ") + operator.firmware, []).append(operator.name)
    return [*lines, *(f"{text} ({', '.join(names)})." for text, names in firmware.items())]


def operator_facts(operator: OperatorSupport) -> list[tuple[str, str]]:
    """Name and value of everything but the limits."""
    native = set(operator.native_kernels)
    kernels = ", ".join(f"{name} ({'native and numpy' if name in native else 'numpy'})" for name in operator.kernels)
    chips = operator.chip_text if not operator.chips else "all: " + ", ".join(operator.chips)
    facts = [
        ("operator", operator.name),
        ("does", operator.does),
        ("types", ", ".join(operator.dtypes)),
        ("ranks", operator.rank_text + (" (of the first input)" if operator.ranks else "")),
        ("layout", operator.layout_text),
        ("chips", chips),
        ("kernels", kernels or "none of its own: NumPy on every backend"),
    ]
    if operator.firmware:
        facts.append(("firmware", operator.firmware))
    if operator.per_channel:
        facts.append(("per channel", "one weight exponent per output channel on " + ", ".join(operator.per_channel)))
    facts += [("quantization" if index == 0 else "", text) for index, text in enumerate(operator.quantization)]
    return facts


def limit_lines(operator: OperatorSupport) -> list[str]:
    """The limits in words with their remedies, ready to print."""
    if not operator.limits:
        return ["No limits: every node of this type runs."]
    lines = [f"{counted(len(operator.limits), 'limit')}:" if len(operator.limits) > 1 else "One limit:"]
    for limit in operator.limits:
        lines += [f"  - {limit.text}", *([f"    else: {limit.remedy}"] if limit.remedy else [])]
    return lines


def markdown(operators: Sequence[OperatorSupport]) -> str:
    """The page ``docs/operators.md``."""
    layouts = "; ".join(f"*{layout.value.replace('_', ' ')}*: {layout.text}" for layout in Layout)
    parts = [
        "# Operators",
        "Made by `espdl ops --markdown` from the operators themselves (`make docs-operators`); do not edit.",
        f"{counted(len(operators), 'operator')}. Whether a network's own nodes can run is told node by node by `espdl check`, "
        "which also fuses and decomposes: a network may hold types that are not listed here.",
        _markdown_table(COLUMNS, [table_row(operator) for operator in operators]),
        *(re.sub(r"^([*+]):", r"\\\1:", paragraph) for paragraph in legend(operators)),
        f"Layouts: {layouts}.",
        "## Limits and quantization",
    ]
    for operator in operators:
        parts.append(f"### {operator.name}\n\n{operator.does}")
        details = [f"- {limit.text}" + (f"; else: {limit.remedy}" if limit.remedy else "") for limit in operator.limits]
        details += [f"- firmware: {operator.firmware}"] if operator.firmware else []
        details += [f"- quantization: {text}" for text in operator.quantization]
        if details:
            parts.append("\n".join(details))
    return "\n\n".join(parts) + "\n"


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([cell.replace("*", "\\*") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
