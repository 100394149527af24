"""``espdl interop``."""

from __future__ import annotations

from dataclasses import asdict

from espdl.cli.options import Json, KeyFile, ModelFiles, ModelTarget


def command(models: ModelFiles, /, *, target: ModelTarget = None, key_file: KeyFile = None, json: Json = False) -> int:
    """Check that ESP-DL can load .espdl files: every storage rule of its format.

    Container, alignment, packing of weights, types of biases, exponents,
    tables, test values. Files are read, not run; a directory stands for the
    .espdl files in it.

    Exit code 1 if a file breaks a rule without which ESP-DL 3.3.9 fails.

    Example: espdl interop digits.espdl
    """
    from espdl.cli.output import print_json, print_paragraph
    from espdl.deploy import read_key
    from espdl.errors import EspdlError
    from espdl.report.interop import RULES, check_file
    from espdl.wording import counted

    key = read_key(key_file)
    paths = [file for path in models for file in (sorted(path.glob("*.espdl")) if path.is_dir() else [path])]
    if not paths:
        raise EspdlError("there is no .espdl file in it", where=", ".join(map(str, models)))
    reports = [report for path in paths for report in check_file(path, target, key)]
    if json:
        print_json({"files": [asdict(report) | {"passes": report.passes} for report in reports]})
        return int(not all(report.passes for report in reports))
    for report in reports:
        chip = f" for {report.chip}" if report.chip else ""
        broken = (
            f"{counted(len(report.findings), 'rule')} of {len(RULES)} broken" if report.findings else f"{len(RULES)} rules kept"
        )
        print(f"{'PASS' if report.passes else 'FAIL'}  {report.file}{chip}: {broken}")
        for finding in report.findings:
            print(f"      {finding.rule} ({finding.spec}){'' if finding.must else ', a warning'}")
            for place in finding.places:
                print_paragraph(f"        - {place}")
    return int(not all(report.passes for report in reports))
