"""What lint found, as cards: the gravest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from espdl.report.lint import RULES, Finding, Severity
from espdl.report.markup import escape
from espdl.wording import counted

FIRST = 12
_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "hint"}


def finding_cards(findings: Sequence[Finding], node_of: Mapping[str, int], *, with_data: bool) -> str:
    """All findings; those at a node lead to it."""
    needing = [rule.text for rule in RULES if rule.needs_data]
    note = ""
    if not with_data and needing:
        note = f'<p class="none">Without data (--data) it was not looked for {escape(", ".join(needing))}.</p>'
    if not findings:
        return f'<p class="none">{counted(len(RULES), "rule")}, nothing found.</p>{note}'
    cards = "".join(_card(finding, index, node_of) for index, finding in enumerate(findings))
    more = ""
    if len(findings) > FIRST:
        more = f'<div class="tools"><button type="button" data-all="findings" aria-pressed="false">all {len(findings)}</button></div>'
    return f'{more}<div class="findings" id="findings-rows">{cards}</div>{note}'


def _card(finding: Finding, index: int, node_of: Mapping[str, int]) -> str:
    severity = _WORDS[finding.severity]
    node = node_of.get(finding.node)
    place = (
        f'<button type="button" class="link" data-node="{node}"><bdi>{escape(finding.node)}</bdi></button>'
        if node is not None
        else ""
    )
    later = " later" if index >= FIRST else ""
    return (
        f'<article class="finding {severity}{later}" id="finding-{index}"><h3><span class="tag {severity}">{severity}</span> '
        f"{escape(finding.rule)} {place}</h3><p>{escape(finding.text)}</p>"
        f"<p><b>costs</b> {escape(finding.cost)}</p><p><b>try</b> {escape(finding.remedy)}</p></article>"
    )
