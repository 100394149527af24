"""A conformance report as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib import resources
from string import Template

from espdl.report.conformance.cases import Case, Comparison, Tolerance
from espdl.report.conformance.report import Cell, ConformanceReport
from espdl.report.conformance.text import cause_text, legend_line, summary_lines

KINDS = {
    "failure": ("failures", "fails"),
    "both": ("fail in {} too", "fails in both"),
    "here": ("fail in {}, pass here", "passes here"),
    "int16": ("int16 within 1", "within 1"),
    "float32": ("float32 within 2e-5", "within 2e-5"),
    "apart": ("not tested", "not tested"),
}
"""Kinds of rows of the list: the words on their buttons and in their first column."""


def page(report: ConformanceReport) -> str:
    """The HTML of a report; the template with its style and script lies beside this module."""
    template = Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    rows = list(_rows(report))
    state = "pass" if report.passed else "fail"
    verdict = "no failure" if report.passed else f"{len(report.failures)} failed" if report.tested else "nothing tested"
    return template.substitute(
        title=escape(f"Conformance of {report.directory}"),
        directory=escape(report.directory),
        state=state,
        verdict=verdict,
        facts="".join(f"<p>{escape(line)}</p>" for line in summary_lines(report)),
        cards="".join(_cards(report)),
        matrix=_matrix(report),
        legend=escape(legend_line(report)),
        buttons="".join(_buttons(report, [kind for kind, _ in rows])),
        rows="\n".join(row for _, row in rows),
        version=escape(report.version),
    )


def _cards(report: ConformanceReport) -> Iterator[str]:
    yield _card(len(report.tested), "files tested")
    yield _card(report.outcomes["pass"], "pass", "good")
    yield _card(len(report.failures), "fail", "bad" if report.failures else "good")
    if report.cpp_name:
        yield _card(report.comparisons[Comparison.ONLY_HERE], f"fail in {report.cpp_name}, pass here")
        yield _card(report.comparisons[Comparison.BOTH_FAIL], f"fail in {report.cpp_name} and here", "known")
    for kind, text in (("int16", "int16 values within 1"), ("float32", "float32 values within 2e-5")):
        if values := report.values(kind):
            elements = sum(used.elements for _, used in report.tolerances(kind))
            yield _card(elements, f"of {values:,} {text}, the others equal")


def _card(number: int, text: str, state: str = "") -> str:
    return f'<div class="card {state}"><b>{number:,}</b><span>{escape(text)}</span></div>'


def _matrix(report: ConformanceReport) -> str:
    chips: dict[str, list[str]] = {}
    for chip, dtype in report.columns:
        chips.setdefault(chip, []).append(dtype)
    first = {(chip, dtypes[0]) for chip, dtypes in chips.items()}
    head = "".join(f'<th class="edge" colspan="{len(dtypes)}">{escape(chip)}</th>' for chip, dtypes in chips.items())
    types = "".join(f"<th{_edge((chip, dtype) in first)}>{dtype}</th>" for chip, dtype in report.columns)
    lines = [f'<thead><tr><th></th>{head}</tr><tr><th class="name">operator</th>{types}</tr></thead><tbody>']
    for operator in report.operators:
        cells = (_cell(report.matrix.get((operator, *c)), operator, c, c in first) for c in report.columns)
        lines.append(f'<tr><th class="name" scope="row">{escape(operator)}</th>{"".join(cells)}</tr>')
    totals = report.totals()
    cells = (_cell(totals.get(column), "", column, column in first) for column in report.columns)
    lines.append(f'</tbody><tfoot><tr><th class="name" scope="row">all</th>{"".join(cells)}</tr></tfoot>')
    return "<table class='matrix'>" + "\n".join(lines) + "</table>"


def _cell(cell: Cell | None, operator: str, column: tuple[str, str], edge: bool) -> str:
    if cell is None:
        return f"<td{_edge(edge)}></td>"
    chip, dtype = column
    state = "bad" if cell.failed else "known" if cell.known else "good"
    title = f"{operator or 'all operators'}, {dtype}, {chip}: {cell.passed} of {cell.total} pass"
    title += f", {cell.tolerated} of them with a tolerance" if cell.tolerated else ""
    mark = "<i>~</i>" if cell.off_by_one else ""
    data = f'data-operator="{escape(operator)}" data-chip="{escape(chip)}" data-dtype="{dtype}"'
    edged = " edge" if edge else ""
    return f'<td class="{state}{edged}" title="{escape(title)}" {data} tabindex="0">{cell.text}{mark}</td>'


def _edge(is_edge: bool) -> str:
    return ' class="edge"' if is_edge else ""


def _buttons(report: ConformanceReport, kinds: list[str]) -> Iterator[str]:
    yield f'<button data-kind="" aria-pressed="true">all <b>{len(kinds)}</b></button>'
    for kind, (text, _) in KINDS.items():
        if count := kinds.count(kind):
            yield f'<button data-kind="{kind}">{escape(text.format(report.cpp_name))} <b>{count}</b></button>'


def _rows(report: ConformanceReport) -> Iterator[tuple[str, str]]:
    """Kind and HTML of every row of the list, the failures first."""
    listed = [(kind, case, says) for case in report.cases for kind, says in _listings(case)]
    order = list(KINDS)
    for kind, case, says in sorted(listed, key=lambda entry: order.index(entry[0])):
        chip, dtype = escape(case.chip), case.dtype
        cells = (
            f'<td><span class="tag {kind}">{KINDS[kind][1]}</span></td>'
            f"<td>{escape(case.operator)}</td><td>{dtype}</td><td>{chip}</td>"
            f'<td class="file">{escape(case.file)}</td><td>{escape(says)}</td>'
        )
        data = f'data-kind="{kind}" data-operator="{escape(case.operator)}" data-chip="{chip}" data-dtype="{dtype}"'
        yield kind, f"<tr {data}>{cells}</tr>"


def _listings(case: Case) -> Iterator[tuple[str, str]]:
    """Under which kinds a case is listed, and what is said of it there."""
    if not case.tested:
        yield "apart", " ".join(case.detail.split())
    elif case.failed:
        yield "failure", case.first_difference
    elif case.comparison is Comparison.BOTH_FAIL:
        yield "both", f"{cause_text(case)}. Here: {case.first_difference.partition(' try: ')[0]}"
    elif case.comparison is Comparison.ONLY_HERE:
        yield "here", cause_text(case)
    for used in case.tolerances:
        yield used.kind, _tolerance(used)


def _tolerance(used: Tolerance) -> str:
    largest = "" if used.kind == "int16" else f", the largest difference {used.largest:.1e}"
    values = "1 value" if used.elements == 1 else f"{used.elements:,} values"
    return f"{values}{largest}: {used.why}"
