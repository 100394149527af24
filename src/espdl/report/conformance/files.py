"""Writing a conformance report: a page to look at, or data."""

from __future__ import annotations

from pathlib import Path

from espdl.errors import EspdlError
from espdl.fbs import write_atomically
from espdl.report.conformance.page import page
from espdl.report.conformance.report import ConformanceReport
from espdl.report.jsontext import json_text


def write_report(path: Path, report: ConformanceReport) -> None:
    """Writes ``.html`` or ``.json``, as a whole or not at all.

    Raises:
        EspdlError: for another suffix, and where the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".html":
        write_atomically(path, page(report))
    elif suffix == ".json":
        write_atomically(path, json_text(report.to_dict()) + "\n")
    else:
        raise EspdlError("a report is an .html or a .json file", where=str(path))
