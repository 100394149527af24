"""``espdl list``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from espdl.cli.options import Json, ModelFile

if TYPE_CHECKING:
    from espdl.deploy.packages import PackageContents


def command(model: ModelFile, /, *, json: Json = False) -> int:
    """Show which models a package holds, and whether its bytes are those that were packed.

    Exit code 1 when the SHA-256 of a PDL3 package does not fit.

    Example: espdl list models.espdl
    """
    from espdl.deploy import list_package

    return show(list_package(model), json)


def show(contents: PackageContents, json: bool) -> int:
    """Prints what a package holds; the exit code tells whether it is whole."""
    from espdl.cli.output import print_facts, print_json, print_table
    from espdl.wording import counted, kilobytes

    if json:
        print_json(asdict(contents))
        return int(contents.sha256_fits is False)
    facts = [("file", f"{contents.file}, {kilobytes(contents.file_bytes)}, {contents.format}")]
    if contents.version:
        facts.append(("version", contents.version))
    if contents.sha256_fits is not None:
        facts.append(("SHA-256", contents.sha256))
        facts.append(("", "fits the bytes" if contents.sha256_fits else "DOES NOT FIT: the package is damaged or was changed"))
    facts.append(("holds", counted(len(contents.models), "model")))
    print_facts(facts)
    print()
    rows = [
        (
            str(entry.index),
            entry.name or "(a single model has no name)",
            kilobytes(entry.bytes),
            "AES-128" if entry.encrypted else "no",
        )
        for entry in contents.models
    ]
    print_table(("index", "name", "size", "encrypted"), rows, right=("index", "size"))
    return int(contents.sha256_fits is False)
