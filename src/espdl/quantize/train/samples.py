"""Calibration samples kept for training, which reads them after calibration: in memory, or on disk where they are too many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from espdl.quantize.dataloader import Sample

MEMORY_BYTES = 2 << 30
"""Of tensors that are kept for later; what does not fit goes to disk."""


class SampleStore:
    """Samples as a loader yields them, kept for a second use.

    Args:
        limit: bytes in memory; later samples go to disk.
    """

    def __init__(self, limit: int = MEMORY_BYTES) -> None:
        self._limit = limit
        self._held = 0
        self._samples: list[Sample | Path] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __len__(self) -> int:
        return len(self._samples)

    def recorded(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Passes samples on and keeps them."""
        for sample in samples:
            self._add(sample)
            yield sample

    def __iter__(self) -> Iterator[Sample]:
        for sample in self._samples:
            if isinstance(sample, Path):
                with np.load(sample) as stored:
                    yield {name.removeprefix("_"): stored[name] for name in stored.files}
            else:
                yield sample

    def close(self) -> None:
        """Forgets everything."""
        self._samples.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> SampleStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _add(self, sample: Sample) -> None:
        size = sum(array.nbytes for array in sample.values())
        if self._held + size <= self._limit:
            self._held += size
            self._samples.append(dict(sample))
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="espdl-train-")
        path = Path(self._folder.name) / f"{len(self._samples)}.npz"
        arrays: dict[str, Any] = {f"_{name}": array for name, array in sample.items()}
        np.savez(path, **arrays)
        self._samples.append(path)
