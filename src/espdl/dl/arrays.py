"""Named arrays in ``.npz`` files: what goes into a run and what comes out."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.fbs.files import write_atomically


def load_arrays(path: Path) -> dict[str, NDArray]:
    """All arrays of an ``.npz`` file by name. Python objects in it are refused, not unpickled.

    Raises:
        EspdlError: when the file cannot be read as arrays.
    """
    with reading_arrays("the arrays cannot be read", path, "numpy.savez writes such a file"):
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise EspdlError(
                "the file holds one array without a name", where=str(path), hint="numpy.savez(path, **{input_name: array})"
            )
        with archive:
            return {name: archive[name] for name in archive.files}


@contextmanager
def reading_arrays(what: str, path: Path | str = "", hint: str = "") -> Iterator[None]:
    """Whatever NumPy raises inside for a file that is none of its own becomes an :class:`EspdlError`: ``what`` went wrong.

    A header is Python source and an archive a ZIP file, so damaged ones raise errors of the tokenizer, of ``zlib`` and many others.
    """
    try:
        yield
    except EspdlError:
        raise
    except Exception as error:
        raise EspdlError(what, where=str(path), why=_unreadable(error), hint=hint) from None


def _unreadable(error: Exception) -> str:
    """Why NumPy cannot read a file. What is no array at all it takes for pickled objects, and advises to trust them: that is left out."""
    if isinstance(error, ValueError) and "pickle" in str(error):
        return "it holds something else, or Python objects, which are not read"
    return str(error) or type(error).__name__


def save_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Writes an ``.npz`` file, whole or not at all. Unlike ``numpy.savez`` it takes any name, and gives the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


def save_array(path: Path, array: NDArray) -> None:
    """Writes an ``.npy`` file, whole or not at all."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
