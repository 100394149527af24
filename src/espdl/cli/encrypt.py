"""``espdl encrypt``."""

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
    """Encrypt every model of a file or package with AES-128, as ESP-DL reads it.

    The key is 16 bytes in a file, or 32 hexadecimal digits in a file or in the
    environment variable ESPDL_KEY. It is never taken from the command line,
    where a shell's history would keep it. ESP-DL uses one fixed counter block:
    do not encrypt two models that matter with the same key.

    Example: espdl encrypt net.espdl -o secret.espdl --key-file key.bin
    """
    from espdl.cli.list import show
    from espdl.deploy import encrypt_file, list_package
    from espdl.fbs.keys import require_key

    encrypt_file(model, output, require_key(key_file), force=force)
    return show(list_package(output), json)
