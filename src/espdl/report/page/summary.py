"""The top of the page: figures, where they come from, and what fits where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from espdl.dl.profile import MemInfo
from espdl.estimate.memory import MemoryEstimate, Need, size_text
from espdl.estimate.text import latency_facts, memory_facts
from espdl.quantize.analysis.analyse import decibels
from espdl.report.lint import Severity
from espdl.report.markup import escape
from espdl.report.page.collect import Report
from espdl.wording import counted

_USES = {
    "fbs_model": "file",
    "parameter": "of it parameters",
    "parameter_copy": "copy of the parameters",
    "variable": "variables (arena)",
    "total": "sum",
}


def cards(report: Report) -> Iterator[str]:
    """Figures to look at first."""
    found, memory = report.inspection, report.memory
    yield _card(report.model.chip.name, "chip")
    yield _card(size_text(found.file_bytes), f"file, {found.parameters} parameters and tables")
    yield _card(str(found.nodes), "operators, " + ", ".join(f"{count} {name}" for name, count in found.quant_types.items()))
    yield _card(size_text(memory.arena), "arena for variables")
    if report.latency is not None:
        time = report.latency.model
        middle, _, interval = time.text().partition(" (")
        yield _card(middle, f"latency, estimated; 90 % interval {interval.removesuffix(')')} ms")
    state = "good" if memory.fits else "bad"
    yield _card("fits" if memory.fits else "does not fit", f"on {memory.module.name}; {_fitting(report)}", state)
    if report.errors is not None:
        worst = max(report.errors.outputs.values(), default=0.0)
        yield _card(f"{decibels(worst):.1f} dB" if worst else "equal", "SNR of the noisiest output against the float network")
    grave = sum(finding.severity is not Severity.HINT for finding in report.findings)
    state = "bad" if report.findings and report.findings[0].severity is Severity.ERROR else "known" if grave else "good"
    yield _card(str(grave), f"errors and warnings, {counted(len(report.findings) - grave, 'hint')}", state)


def _fitting(report: Report) -> str:
    fits = sum(memory.fits for memory in (report.memory, *report.others))
    return f"{fits} of {counted(1 + len(report.others), 'module')} would do"


def _card(figure: str, text: str, state: str = "") -> str:
    return f'<div class="card {state}"><b>{escape(figure)}</b><span>{escape(text)}</span></div>'


def facts(report: Report) -> str:
    """What the file says of itself."""
    found = report.inspection
    rows = [
        ("model", f"{found.name}, version {found.version}" + (f": {found.doc_string}" if found.doc_string else "")),
        ("made by", found.producer or "the file does not say"),
        ("chip", f"{report.model.chip.name} ({report.model.target_source})"),
        *((f"metadata {key}", value) for key, value in found.metadata.items()),
        ("operators", ", ".join(f"{count} {name}" for name, count in found.operators.items())),
        *(
            (
                kind,
                f"{port.name}: {port.dtype} {list(port.shape)}{' ' + port.layout if port.layout else ''}{_scale(port.exponent)}",
            )
            for kind, ports in (("input", found.inputs), ("output", found.outputs))
            for port in ports
        ),
    ]
    return definition_list(rows)


def _scale(exponent: int | None) -> str:
    return "" if exponent is None else f", real = integer × 2^{exponent}"


def definition_list(rows: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows) + "</dl>"


def memory_words(report: Report) -> str:
    return definition_list(memory_facts(report.memory))


def latency_words(report: Report) -> str:
    if report.latency is None:
        return f'<p class="none">{escape(report.refusal)}</p>'
    return definition_list(latency_facts(report.latency))


def memory_table(report: Report) -> str:
    """Bytes by use and place."""
    rows = []
    for use, words in _USES.items():
        info = report.memory.usage.get(use, MemInfo())
        cells = "".join(f"<td>{escape(size_text(size)) if size else ''}</td>" for size in (info.internal, info.psram, info.flash))
        rows.append(f'<tr><th scope="row">{escape(words)}</th>{cells}</tr>')
    head = "<thead><tr><th></th><th>internal RAM</th><th>PSRAM</th><th>flash</th></tr></thead>"
    return f'<table class="figures">{head}<tbody>{"".join(rows)}</tbody></table>'


def module_table(report: Report) -> str:
    """Which modules hold the model."""
    rows = []
    for memory in (report.memory, *report.others):
        state = '<td class="good">fits</td>' if memory.fits else '<td class="bad">does not fit</td>'
        needs = "".join(_need(need) for need in (memory.internal, memory.psram, memory.flash))
        here = ' class="here"' if memory is report.memory else ""
        where = {"flash": "flash", "psram": "PSRAM", "internal": "internal RAM"}[memory.parameters_in]
        rows.append(f'<tr{here}><th scope="row">{escape(memory.module.name)}</th>{state}{needs}<td>{where}</td></tr>')
    head = (
        "<thead><tr><th>module</th><th></th><th>internal RAM</th><th>PSRAM</th><th>flash</th><th>parameters in</th></tr></thead>"
    )
    return f'<table class="figures">{head}<tbody>{"".join(rows)}</tbody></table>'


def _need(need: Need) -> str:
    if not need.needed and not need.available:
        return "<td>–</td>"
    text = f"{size_text(need.needed) if need.needed else '0'} of {size_text(need.available)}"
    return f'<td class="bad">{escape(text)}</td>' if need.missing else f"<td>{escape(text)}</td>"


def verdict(memory: MemoryEstimate) -> tuple[str, str]:
    """Class and words of the badge beside the title."""
    return ("pass" if memory.fits else "fail"), f"{'fits' if memory.fits else 'does not fit'} {memory.module.name}"
