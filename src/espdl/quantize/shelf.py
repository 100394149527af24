"""Arrays that are needed again later, in a temporary file meanwhile."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from espdl.errors import EspdlError

IN_MEMORY = 1 << 20
"""Bytes that are kept in memory; more go to a temporary file."""


class Shelf:
    """Keeps values in piles, from which they are taken in the order in which they were put there, as often as wanted.

    A context manager: the file, which nothing else can open, goes with it.

    Args:
        piles: their number.

    Attributes:
        size: bytes kept so far.
    """

    def __init__(self, piles: int) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # lives as long as this does
        self._places: list[list[int]] = [[] for _ in range(piles)]
        self.size = 0

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()

    def put(self, pile: int, value: Any) -> None:
        """Adds something that can be pickled. Raises :class:`EspdlError` when there is no place on the disk."""
        self._places[pile].append(self.size)
        try:
            self._file.seek(self.size)
            pickle.dump(value, self._file, protocol=pickle.HIGHEST_PROTOCOL)
            self.size = self._file.tell()
        except OSError as error:
            raise EspdlError(
                "tensors cannot be kept in a temporary file",
                where=tempfile.gettempdir(),
                why=error.strerror or str(error),
                hint="set TMPDIR to a directory with more space",
            ) from None

    def count(self, pile: int) -> int:
        """Number of values in a pile."""
        return len(self._places[pile])

    def take(self, pile: int) -> Iterator[Any]:
        """The values of a pile, first the first."""
        for place in self._places[pile]:
            self._file.seek(place)
            yield pickle.load(self._file)
