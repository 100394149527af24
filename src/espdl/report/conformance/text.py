"""A conformance report in lines of at most 100 columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from espdl.report.conformance.cases import Case, Comparison
from espdl.report.conformance.report import Cell, ConformanceReport
from espdl.wording import counted

WIDTH = 100
LISTED = 20
"""Files that a list names at most; a report file names all."""

LEGEND = "12: all pass   10/12: two fail   ~: int16 values off by one"
WITH_CPP = "12: all pass   10/12: two fail   10+2: two fail in {} as well   ~: int16 values off by one"


def matrix_lines(report: ConformanceReport) -> list[str]:
    """The matrix: a row an operator, a column a chip and a type; as many tables as its width takes."""
    totals = report.totals()
    rows: list[tuple[str, dict[tuple[str, str], Cell]]] = [
        (operator, {(chip, dtype): cell for (name, chip, dtype), cell in report.matrix.items() if name == operator})
        for operator in report.operators
    ]
    rows.append(("all", totals))
    texts = [(name, {column: cell_text(cell) for column, cell in cells.items()}) for name, cells in rows]
    widths = {
        column: max(len(column[1]), *(len(cells[column]) for _, cells in texts if column in cells)) for column in report.columns
    }
    label = max(len("operator"), *(len(name) for name, _ in texts))
    lines: list[str] = []
    for columns in _tables(report.columns, widths, label):
        lines += [*([""] if lines else []), *_table(columns, texts, widths, label)]
    return lines


def cell_text(cell: Cell) -> str:
    return cell.text + ("~" if cell.off_by_one else "")


def _tables(
    columns: Sequence[tuple[str, str]], widths: dict[tuple[str, str], int], label: int
) -> Iterator[list[tuple[str, str]]]:
    """Columns of one table after the other; a chip's columns stay together where they fit."""
    chips = list(dict.fromkeys(chip for chip, _ in columns))
    table: list[tuple[str, str]] = []
    for chip in chips:
        block = [column for column in columns if column[0] == chip]
        if table and label + sum(widths[column] + 2 for column in [*table, *block]) > WIDTH:
            yield table
            table = []
        table += block
    if table:
        yield table


def _table(
    columns: Sequence[tuple[str, str]],
    rows: Sequence[tuple[str, dict[tuple[str, str], str]]],
    widths: dict[tuple[str, str], int],
    label: int,
) -> list[str]:
    chips = Counter(chip for chip, _ in columns)
    spans = {chip: sum(widths[column] + 2 for column in columns if column[0] == chip) for chip in chips}
    head = " " * label + "".join(f"  {chip}".ljust(spans[chip]) for chip in chips)
    types = "operator".ljust(label) + "".join(f"  {dtype:>{widths[chip, dtype]}}" for chip, dtype in columns)
    rule = "─" * len(types)
    lines = [head.rstrip(), types, rule]
    for name, cells in rows:
        if name == "all" and len(rows) > 2:
            lines.append(rule)
        texts = [f"  {cells.get(column, '·'):>{widths[column]}}" for column in columns]
        if any(column in cells for column in columns):
            lines.append(name.ljust(label) + "".join(texts))
    return lines


def legend_line(report: ConformanceReport) -> str:
    return WITH_CPP.format(report.cpp_name) if report.cpp_name else LEGEND


def summary_lines(report: ConformanceReport) -> list[str]:
    """What came of it, one line a fact; texts may be longer than a line."""
    outcomes, settings = report.outcomes, report.settings
    cores = "1 process" if report.jobs == 1 else f"{report.jobs} processes"
    chip = f" on {settings.target}" if settings.target else ""
    failed = f"{outcomes['fail']:,} fail, {outcomes['error']:,} cannot be loaded or run"
    files = "1 file" if len(report.tested) == 1 else f"{len(report.tested):,} files"
    machine = f"{settings.arithmetic} arithmetic{chip}, {report.backend} kernels, {report.seconds:.1f} s on {cores}"
    lines = [f"{files} with test values in {machine}: {outcomes['pass']:,} pass, {failed}"]
    for kind, within in (("int16", "within 1"), ("float32", "within 2e-5")):
        uses = report.tolerances(kind)
        if values := report.values(kind):
            elements = sum(used.elements for _, used in uses)
            lines.append(
                f"{kind}: {values - elements:,} of {values:,} values equal, {within}: {elements:,} in {counted(len(uses), 'file')}"
            )
    if report.cpp_name:
        told = (f"{report.comparisons[c]:,} {c.value.format(report.cpp_name)}" for c in Comparison)
        lines.append("; ".join(told).replace("passes", "pass").replace("fails", "fail"))
    if outcomes["skip"]:
        lines.append(f"{counted(outcomes['skip'], 'file')} without test values" + _named(report, "skip"))
    if outcomes["other chip"]:
        lines.append(f"{counted(outcomes['other chip'], 'file')} for other chips than {settings.target}, not run")
    return lines


def _named(report: ConformanceReport, outcome: str) -> str:
    names = [case.file for case in report.cases if case.outcome == outcome]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ": " + ", ".join(names[:3]) + more


def failure_lines(report: ConformanceReport) -> list[str]:
    """The real failures, each with its first wrong element; empty without any."""
    if not report.failures:
        return []
    lines = [f"{counted(len(report.failures), 'failure')}:"]
    for case in report.failures[:LISTED]:
        lines.append(f"  - {case.outcome.upper()} {case.file} ({case.chip}): {case.first_difference}")
    return [*lines, *_more(len(report.failures))]


def known_lines(report: ConformanceReport) -> list[str]:
    """The files that fail in the C++ code and here, by what disagrees and the rule that was followed; empty without any."""
    both = [case for case in report.tested if case.comparison is Comparison.BOTH_FAIL]
    if not both:
        return []
    lines = [f"{counted(len(both), 'file')} that {report.cpp_name} fails do not pass here either:"]
    for cause, cases in by_cause(both):
        lines += [f"  - {cause}", f"    {_files(cases)}"]
    return lines


def newer_lines(report: ConformanceReport) -> list[str]:
    """The files that fail in the C++ code and pass here, by what disagrees; empty without any."""
    ours = [case for case in report.tested if case.comparison is Comparison.ONLY_HERE]
    if not ours:
        return []
    lines = [f"{counted(len(ours), 'file')} that {report.cpp_name} fails pass here:"]
    return [*lines, *(f"  - {len(cases)}: {cause}" for cause, cases in by_cause(ours))]


def tolerance_lines(report: ConformanceReport) -> list[str]:
    """Where int16 values needed the tolerance, and why; empty where none did."""
    lines: list[str] = []
    for kind in ("int16", "float32"):
        uses = report.tolerances(kind)
        for why in dict.fromkeys(used.why for _, used in uses):
            cases = [case for case, used in uses if used.why == why]
            elements = sum(used.elements for _, used in uses if used.why == why)
            operators = ", ".join(f"{name} {count}" for name, count in Counter(case.operator for case in cases).most_common())
            lines += [f"  - {kind}, {elements:,} values in {counted(len(cases), 'file')}: {why}", f"    files: {operators}"]
    return ["Within the tolerance:", *lines] if lines else []


def by_cause(cases: Sequence[Case]) -> list[tuple[str, list[Case]]]:
    """Cases that share what disagrees and the rule, the largest group first."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(cause_text(case), []).append(case)
    return sorted(groups.items(), key=lambda item: -len(item[1]))


def cause_text(case: Case) -> str:
    """What disagrees, with the rule that was followed."""
    by_rule: dict[str, list[str]] = {}
    for cause in case.causes:
        by_rule.setdefault(cause.rule, []).append(cause.disagrees)
    return "; ".join(f"{'; '.join(disagrees)} (here: {rule})" for rule, disagrees in by_rule.items())


def _files(cases: Sequence[Case]) -> str:
    """File names with the chips they fail on."""
    chips: dict[str, list[str]] = {}
    for case in cases:
        chips.setdefault(case.file.rpartition("/")[2], []).append(case.chip)
    return ", ".join(f"{file} ({', '.join(names)})" for file, names in chips.items())


def _more(count: int) -> list[str]:
    return [f"  and {count - LISTED} more: --report out.html lists all"] if count > LISTED else []
