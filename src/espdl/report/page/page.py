"""A report as one HTML page that needs nothing else; its template, style and script lie beside this module."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from string import Template

from espdl.report.graph import draw_graph
from espdl.report.graph.drawing import STYLE
from espdl.report.graph.kinds import KINDS, kind_of
from espdl.report.markup import escape, script_json
from espdl.report.page import bars, figures, findings, summary
from espdl.report.page.collect import Report
from espdl.report.page.details import details
from espdl.report.page.figures import Drawn
from espdl.report.page.timeline import Timeline, timelines
from espdl.version import __version__

_HOW_ERRORS = (
    "Not measured. The error of every layer needs the float network that the file was made from, and data: "
    "espdl report MODEL --float net.onnx --data DATA."
)
_MAKERS = {"port": "an input"}
_HOW_ACTIVATIONS = "The file holds no test values: with --data the activations are shown, too."


def page(report: Report) -> str:
    """The HTML of a report: UTF-8 text without any reference to something outside."""
    graph = report.model.fbs_model.record.graph
    nodes = {node.name: index for index, node in enumerate(graph.node)}
    state, verdict = summary.verdict(report.memory)
    script, style = _part("page.js"), STYLE + _part("page.css")
    name = Path(report.inspection.file).name
    data = details(report)
    used = [kind for kind in KINDS if any(vertex.kind == kind for vertex in report.inspection.network.vertices)]
    latency = report.latency
    return Template(_part("page.html")).substitute(
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_digest(script)}'",
        style=style,
        script=script,
        title=escape(f"{name} on {report.model.chip.name}"),
        file=escape(name),
        path=escape(report.inspection.file),
        state=state,
        verdict=escape(verdict),
        cards="".join(summary.cards(report)),
        facts=summary.facts(report),
        memory_words=summary.memory_words(report),
        memory_table=summary.memory_table(report),
        module_table=summary.module_table(report),
        timeline=timelines(_timeline(report, {tensor["name"]: index for index, tensor in enumerate(data["tensors"])})),
        makers="".join(f'<li><i class="k-{kind}"></i>{escape(_MAKERS.get(kind, KINDS[kind]))}</li>' for kind in used),
        latency_words=summary.latency_words(report),
        latency="" if latency is None else bars.latency_bars(latency, nodes),
        errors=_errors(report, nodes),
        histograms=_histograms(report),
        findings=findings.finding_cards(report.findings, nodes, with_data=bool(report.samples)),
        graph=draw_graph(report.inspection.network, alone=False),
        legend="".join(_legend(kind) for kind in used),
        noise="" if report.errors is None else '<option value="noise">noise it adds</option>',
        data=script_json(data),
        version=escape(__version__),
    )


def _legend(kind: str) -> str:
    swatch = (
        f'<svg class="net" viewBox="0 0 16 14"><g class="k-{kind}"><rect x="1" y="1" width="14" height="12" rx="3"/></g></svg>'
    )
    return f"<li>{swatch}{escape(KINDS[kind])}</li>"


def _part(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """Of the script as a browser takes it for its policy: that one runs, and nothing that a name may have brought along."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _timeline(report: Report, numbers: dict[str, int]) -> Timeline:
    graph = report.model.fbs_model.record.graph
    kinds = {name: kind_of(node.op_type) for node in graph.node for name in node.output if name}
    return Timeline(report.model.memory.plan, len(report.model.modules), report.live, kinds, numbers)


def _errors(report: Report, nodes: dict[str, int]) -> str:
    if report.errors is None:
        return f'<p class="none">{escape(_HOW_ERRORS)}</p>'
    op_types = {node.name: node.op_type for node in report.model.fbs_model.record.graph.node}
    return bars.error_bars(report.errors, op_types, nodes)


def _histograms(report: Report) -> str:
    drawn = drawn_tensors(report)
    source = f"Activations: {report.samples}." if report.samples else _HOW_ACTIVATIONS
    more = ""
    if len(drawn) > figures.FIRST:
        more = f'<button type="button" data-all="hists" aria-pressed="false">all {len(drawn)}</button>'
    tools = (
        '<div class="tools"><button type="button" data-order="hists" data-by="rank" aria-pressed="true">most unused bits first</button>'
        '<button type="button" data-order="hists" data-by="ends" aria-pressed="false">most at the ends first</button>'
        '<button type="button" data-order="hists" data-by="step" aria-pressed="false">running order</button>'
        f'<button type="button" data-only="weights" aria-pressed="false">weights</button>'
        f'<button type="button" data-only="activations" aria-pressed="false">activations</button>{more}</div>'
    )
    return f'<p>{escape(source)}</p>{tools}<div class="hists" id="hists-rows">{"".join(figures.figures(drawn))}</div>'


def drawn_tensors(report: Report) -> list[Drawn]:
    """Tensors with a histogram, in running order: weights stand with the node that reads them."""
    graph = report.model.fbs_model.record.graph
    place = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    for index, node in enumerate(graph.node):
        for name in node.input:
            if name in report.weights:
                place.setdefault(name, index)
    measured = {item.name: item for item in report.errors.statistics} if report.errors is not None else {}
    found = []
    for number, row in enumerate(report.inspection.tensors):
        histogram = (report.weights if row.kind == "parameter" else report.activations).get(row.name)
        if histogram is not None:
            entry = measured.get(row.name) if row.kind != "parameter" else None
            limits = (entry.smallest, entry.largest, entry.saturated) if entry is not None else (None, None, None)
            found.append(Drawn(number, row, histogram, place.get(row.name), *limits))
    return sorted(found, key=lambda drawn: -1 if drawn.node is None else drawn.node)
