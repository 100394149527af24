"""Runs the rules on files."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from espdl.dl.target import candidate_chips, read_evidence
from espdl.fbs import FbsModel, open_mapped, read_container, read_model, validate_model
from espdl.report.interop.rules import RULES
from espdl.report.interop.subject import Subject

_MOST = 20
"""Findings of one rule that are listed; a file that breaks a rule often breaks it everywhere."""


@dataclass(frozen=True)
class Finding:
    """A rule that a file breaks: its name, whether ESP-DL fails where it is broken, and the places."""

    rule: str
    spec: str
    must: bool
    places: tuple[str, ...]


@dataclass(frozen=True)
class FileReport:
    """What the rules found in one model. ``chip`` is empty when the file does not tell it."""

    file: str
    chip: str
    findings: tuple[Finding, ...]

    @property
    def passes(self) -> bool:
        """Whether ESP-DL 3.3.9 loads the file and computes what is meant."""
        return not any(finding.must for finding in self.findings)


def check_file(path: str | Path, target: str | None = None, key: bytes | None = None) -> list[FileReport]:
    """Checks every model of a file against every rule.

    Args:
        path: the file.
        target: chip; None takes it from the file. What depends on the chip is not checked when neither tells it.
        key: of an encrypted model.

    Raises:
        EspdlError: when the bytes cannot be read, or the graph cannot run.
    """
    from espdl.chips import get_chip

    container = read_container(open_mapped(path), source=str(path))
    reports = []
    for entry in container.entries:
        payload = container.payload(entry, key)
        file = f"{path}[{entry.name}]" if entry.name else str(path)
        model = read_model(payload, source=file)
        validate_model(model)
        chips = [get_chip(target)] if target else candidate_chips(read_evidence(FbsModel(payload, source=file)))
        chip = chips[0] if len(chips) == 1 else None
        subject = Subject(container, entry, payload, model, chip)
        findings = []
        for rule in RULES:
            places = tuple(islice(rule.find(subject), _MOST))
            if places:
                findings.append(Finding(rule.name, rule.spec, rule.must, places))
        reports.append(FileReport(file, chip.name if chip else "", tuple(findings)))
    return reports
