"""``espdl pack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from espdl.cli.options import Force, Json, ModelFiles, OutputFile


def command(
    models: ModelFiles,
    /,
    *,
    output: Annotated[OutputFile, Parameter(name=("--output", "-o"), help="The package to write.")] = Path("models.espdl"),
    format: Annotated[Literal["PDL3", "PDL2"], Parameter(help="PDL2 is for an ESP-DL that does not know PDL3.")] = "PDL3",
    package_version: Annotated[str, Parameter(help="Version of a PDL3 package, at most 15 characters.")] = "v1.0",
    force: Force = False,
    json: Json = False,
) -> int:
    """Pack several .espdl files into one, from which the chip loads by name or index.

    Give files, or one directory, whose .espdl files are taken. The order is
    that of their names. A PDL3 package carries a SHA-256 of its bytes, which
    is verified when a model is loaded from it.

    Example: espdl pack detect.espdl recognise.espdl -o models.espdl
    """
    from espdl.cli.list import show
    from espdl.deploy import pack_files

    return show(pack_files(models, output, format=format, version=package_version, force=force), json)
