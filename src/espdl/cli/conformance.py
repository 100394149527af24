"""``espdl conformance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveInt
from cyclopts.validators import Path as PathValidator

from espdl.cli.options import Arithmetic, Backend, Directory, DirectoryTarget, Json

REPORTS = (".html", ".json")


def _report_type(_: object, path: Path | None) -> None:
    if path is not None and path.suffix.lower() not in REPORTS:
        raise ValueError("a report is an .html or a .json file")


def command(
    directory: Directory,
    /,
    *,
    target: DirectoryTarget = None,
    arithmetic: Arithmetic = "reference",
    backend: Backend = None,
    report: Annotated[
        Path | None,
        Parameter(validator=(PathValidator(dir_okay=False), _report_type), help="Page (.html) or data (.json) to write."),
    ] = None,
    json: Json = False,
    jobs: Annotated[PositiveInt | None, Parameter(help="Processes; all cores by default.")] = None,
) -> int:
    """Run all .espdl files with test values under a directory, as a matrix.

    Files are grouped by operator, type and chip. The chip is taken from the
    file, an index, or a folder called like a chip; else each is tried.
    Integers must be equal, int16 values within 1, floats within 2e-5; every
    use of a tolerance is counted.

    Where an INDEX.csv tells what ESP-DL's C++ code makes of the files, both
    verdicts are compared, and only what passes there and fails here counts as
    a failure.

    Exit code 1 when a file fails, or none holds test values.

    Example: espdl conformance models/ --report conformance.html
    """
    from espdl.cli.output import print_json, print_paragraph
    from espdl.fbs.files import require_writable
    from espdl.report.conformance import run_directory, text
    from espdl.report.conformance.files import write_report
    from espdl.report.conformance.runner import Settings

    if report is not None:
        require_writable(report)
    found = run_directory(directory, Settings(target or "", arithmetic, backend), jobs)
    if report is not None:
        write_report(report, found)
    if json:
        print_json(found.to_dict())
        return 0 if found.passed else 1
    if found.tested:
        print("\n".join(text.matrix_lines(found)))
        print(f"\n{text.legend_line(found)}\n")
    sections = (text.summary_lines, text.newer_lines, text.known_lines, text.tolerance_lines, text.failure_lines)
    for lines in filter(None, (section(found) for section in sections)):
        for line in lines:
            print_paragraph(line)
        print()
    if report is not None:
        print(f"report written to {report}")
    if not found.tested:
        print("nothing was tested: no file holds test values")
    return 0 if found.passed else 1
