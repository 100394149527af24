"""``espdl decrypt``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from espdl.cli.options import Force, Json, KeyFile, ModelFile, OutputFile


def command(
    model: ModelFile,
    /,
    *,
    output: Annotated[OutputFile, Parameter(name=("--output", "-o"), help="The file to write.")],
    key_file: KeyFile = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Decrypt every model of a file or package.

    The key is found as by espdl encrypt. A wrong key is noticed, because what
    it decrypts to is no model.

    Example: espdl decrypt secret.espdl -o net.espdl --key-file key.bin
    """
    from espdl.cli.list import show
    from espdl.deploy import decrypt_file, list_package
    from espdl.fbs.keys import require_key

    decrypt_file(model, output, require_key(key_file), force=force)
    return show(list_package(output), json)
