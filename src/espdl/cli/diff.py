"""``espdl diff``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from espdl.cli.options import FILE, Json, KeyFile, PackageModel


def command(
    first: Annotated[Path, Parameter(name="A", help="An .espdl file.", validator=FILE)],
    second: Annotated[Path, Parameter(name="B", help="Another one.", validator=FILE)],
    /,
    *,
    package_model: PackageModel = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Show what differs between two .espdl files.

    Nodes (matched by name, else by operator and place), types and exponents of
    tensors, weights (compared in logical order, whatever chip they are packed
    for), tables, test values, metadata, size. Nothing is run: see espdl
    explain for what it does to results.

    Exit code 1 when the contents differ.

    Example: espdl diff before.espdl after.espdl
    """
    from espdl.cli.options import package_entry
    from espdl.cli.output import print_json, print_paragraph
    from espdl.deploy import read_key
    from espdl.report.diff import diff_files, diff_lines

    found = diff_files(first, second, read_key(key_file), package_entry(package_model))
    if json:
        print_json(found.to_dict())
    else:
        for line in diff_lines(found):
            print_paragraph(line)
    return int(not found.equal)
