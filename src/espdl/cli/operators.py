"""Operators of the user's own for the command line: Python files that define them, run before the verb."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from espdl.errors import EspdlError

_loaded: set[Path] = set()


def load_operators(paths: str) -> None:
    """Runs Python files, each once in a process; they define subclasses of ``Module``.

    Args:
        paths: one, or several with the separator of the system's search path between them.

    Raises:
        EspdlError: when a file is missing or fails.
    """
    for text in filter(None, paths.split(os.pathsep)):
        path = Path(text).resolve()
        if path in _loaded:
            continue
        if not path.is_file():
            raise EspdlError("there is no such file", where=text, hint="ESPDL_OPERATORS names Python files that define operators")
        try:
            runpy.run_path(str(path), run_name=path.stem)
        except Exception as error:  # whatever the user's code raises
            raise EspdlError("the file of operators failed", where=text, why=f"{type(error).__name__}: {error}") from error
        _loaded.add(path)
