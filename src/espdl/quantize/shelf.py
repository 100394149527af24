"""Arrays that are needed again later, in a temporary file meanwhile."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Hashable, Iterator
from types import TracebackType
from typing import Any

from espdl.errors import EspdlError

IN_MEMORY = 1 << 20
"""Bytes that are kept in memory; more go to a temporary file."""

FULL = 1 << 29
"""Bytes from which on no more samples should be put there before those that are there are done."""


class Shelf:
    """Keeps values in piles, from which they are taken in the order in which they were put there, as often as wanted.

    A context manager: the file, which nothing else can open, goes with it.

    Attributes:
        size: bytes kept so far.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # lives as long as this does
        self._places: dict[Hashable, list[int]] = {}
        self.size = 0

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()

    @property
    def is_full(self) -> bool:
        """Whether so much is there that it should be worked on before more is added."""
        return self.size >= FULL

    def put(self, pile: Hashable, value: Any) -> None:
        """Adds something that can be pickled. Raises :class:`EspdlError` when there is no place on the disk."""
        self._places.setdefault(pile, []).append(self.size)
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

    def take(self, pile: Hashable) -> Iterator[Any]:
        """The values of a pile, first the first."""
        for place in self._places.get(pile, ()):
            self._file.seek(place)
            yield pickle.load(self._file)
