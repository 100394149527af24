"""Tensors of all samples, kept from one block to the next: in memory, or on disk where they are too many."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from espdl.quantize.train.samples import MEMORY_BYTES


class Stream:
    """Some tensors of a network for each of ``count`` samples.

    Args:
        count: number of samples.
        device: where they are kept; those on disk are read to it.
        limit: bytes in memory.
    """

    def __init__(self, count: int, device: torch.device, limit: int = MEMORY_BYTES) -> None:
        self.count = count
        self.device = device
        self._limit = limit
        self._held = 0
        self._kept: dict[str, torch.Tensor] = {}
        self._single: set[str] = set()  # those whose first axis is no batch: one entry per sample
        self._sizes: dict[str, int] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def names(self) -> list[str]:
        """What is kept."""
        return list(self._kept)

    def put(self, name: str, index: int, tensor: torch.Tensor) -> None:
        """Keeps a tensor of one sample."""
        if name not in self._kept:
            self._kept[name] = self._room(name, tensor)
            if tensor.ndim == 0 or tensor.shape[0] != 1:
                self._single.add(name)
        self._kept[name][index].copy_(tensor.detach() if name in self._single else tensor.detach()[0])

    def get(self, name: str, indices: Sequence[int]) -> torch.Tensor:
        """The tensor of some samples along the first axis; of one sample where the network's first axis is no batch."""
        kept = self._kept[name]
        if name in self._single:
            (index,) = indices
            return kept[index]
        picked = kept[indices[0] : indices[0] + 1] if len(indices) == 1 else kept[torch.as_tensor(indices, device=kept.device)]
        return picked

    def batch(self, names: Iterable[str], indices: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
        """Several tensors by name, on a device."""
        return {name: self.get(name, indices).to(device) for name in names}

    def has_batches(self, names: Iterable[str]) -> bool:
        """Whether those tensors have a batch axis."""
        return not any(name in self._single for name in names)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forgets all others."""
        wanted = set(names)
        for name in [name for name in self._kept if name not in wanted]:
            del self._kept[name]
            self._held -= self._sizes.pop(name)
            if self._folder is not None:
                (Path(self._folder.name) / _file(name)).unlink(missing_ok=True)

    def close(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _room(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        inner = tensor.shape[1:] if tensor.ndim and tensor.shape[0] == 1 else tensor.shape
        shape = (self.count, *inner)
        size = tensor.element_size() * int(np.prod(shape))
        if self._held + size <= self._limit:
            self._held += size
            self._sizes[name] = size
            order = torch.channels_last if _is_channels_last(tensor) and len(shape) == 4 else torch.contiguous_format
            return torch.empty(shape, dtype=tensor.dtype, device=self.device, memory_format=order)
        self._sizes[name] = 0
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="espdl-train-")
        elements = int(np.prod(shape))
        path = str(Path(self._folder.name) / _file(name))
        return torch.from_file(path, shared=True, size=elements, dtype=tensor.dtype).reshape(shape)


def _is_channels_last(tensor: torch.Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def _file(name: str) -> str:
    return "".join(c if c.isalnum() else f"_{ord(c):x}" for c in name)[:80] + f"-{abs(hash(name)):x}"
