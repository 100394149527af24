"""``espdl unpack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Path as PathValidator

from espdl.cli.options import Force, Json, ModelFile


def command(
    package: ModelFile,
    /,
    *,
    output: Annotated[
        Path,
        Parameter(
            name=("--output", "-o"),
            help="Directory; made when it is not there.",
            validator=PathValidator(file_okay=False),
        ),
    ] = Path("."),
    force: Force = False,
    json: Json = False,
) -> int:
    """Write the models of a package as files of their own, byte for byte as they were packed.

    Encrypted models stay encrypted: espdl decrypt opens them.

    Example: espdl unpack models.espdl -o models
    """
    from espdl.cli.output import print_json
    from espdl.deploy import unpack_file

    written = unpack_file(package, output, force=force)
    if json:
        print_json({"files": [str(path) for path in written]})
    else:
        for path in written:
            print(path)
    return 0
