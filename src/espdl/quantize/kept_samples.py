"""Samples that are gone through more than once, though what yields them can be asked only once."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from types import TracebackType

from espdl.quantize.dataloader import Sample

IN_MEMORY = 1 << 26
"""Bytes of samples that are kept in memory; more go to a temporary file."""


class KeptSamples:
    """Keeps samples in memory, and many of them in a temporary file that nothing else can open.

    The first pass takes them from where they come from, the later ones from here. A context manager: the file goes with it.

    Args:
        samples: are read in the first pass, one by one.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._new = iter(samples)
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # lives as long as this does
        self._count = 0

    def __enter__(self) -> KeptSamples:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Sample]:
        self._file.seek(0)
        for _ in range(self._count):
            yield pickle.load(self._file)
        for sample in self._new:
            pickle.dump(dict(sample), self._file, protocol=pickle.HIGHEST_PROTOCOL)
            self._count += 1
            yield sample
