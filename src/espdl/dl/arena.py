"""The pieces of the memory planner: ``TensorInfo``, ``MemoryChunk`` and the arena they are laid out in (guide 4.3.8, runtime spec 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from espdl.alignment import ALIGNMENT, round_up
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.exponent import ExponentInfo
from espdl.tensor import TensorBase

_FOUR = {DType.FLOAT, DType.INT32, DType.UINT32}
_TWO = {DType.INT16, DType.UINT16}
_EIGHT = {DType.DOUBLE, DType.INT64, DType.UINT64}


def planned_bytes(shape: Sequence[int], dtype: DType) -> int:
    """Bytes that the planner reserves for a tensor, before alignment: 1 an element for every type that it does not know."""
    itemsize = 4 if dtype in _FOUR else 2 if dtype in _TWO else 8 if dtype in _EIGHT else 1
    return prod(shape) * itemsize


class TensorInfo:
    """Size, life time and place of one variable while memory is planned.

    A tensor may lie on another one, its leader: then place and end of life are the leader's. A leader knows the follower that
    overwrites it (dirty) and the one that shows the same bytes (clean).

    Args:
        name: of the tensor.
        time_begin: step (index of the node) that produces it; 0 for graph inputs.
        time_end: step before which it is freed; -1 for never.
        shape, dtype, exponent: of the tensor.
        is_internal: whether it lies in internal RAM.
    """

    def __init__(
        self,
        name: str,
        time_begin: int,
        time_end: int,
        shape: Sequence[int],
        dtype: DType,
        exponent: int | ExponentInfo = 0,
        is_internal: bool = False,
    ) -> None:
        self.name = name
        self.time_begin = time_begin
        self.time_end = time_end
        self.shape = [int(extent) for extent in shape]
        self.dtype = dtype
        self.exponent = ExponentInfo(exponent)
        self.size = planned_bytes(self.shape, dtype)
        self.leader: TensorInfo | None = None
        self._is_internal = is_internal
        self._offset = 0
        self._internal_offset = 0
        self._dirty: TensorInfo | None = None
        self._clean: TensorInfo | None = None

    # In-place links

    def set_inplace_leader_tensor(self, tensor: TensorInfo | None) -> None:
        """Lays this tensor on another one, which then lives at least as long; None takes it off again."""
        self.leader = tensor
        if tensor is not None and (self.time_end == -1 or tensor.time_end < self.time_end):
            tensor.update_time(self.time_end)

    def set_inplace_follower_dirty_tensor(self, tensor: TensorInfo | None) -> None:
        """Names the tensor that overwrites this one."""
        self._dirty = tensor

    def set_inplace_follower_clean_tensor(self, tensor: TensorInfo | None) -> None:
        """Names the tensor that shows the same bytes."""
        self._clean = tensor

    def get_inplace_follower_tensor(self) -> tuple[TensorInfo | None, TensorInfo | None]:
        """The dirty and the clean follower."""
        return self._dirty, self._clean

    def is_inplaced(self) -> bool:
        """Whether it lies on another tensor."""
        return self.leader is not None

    # Life time

    def update_time(self, new_time: int) -> None:
        """Lets the tensor, or the one it lies on, live until ``new_time``. -1 means for ever, until a later time is given."""
        if self.leader is not None:
            self.leader.update_time(new_time)
            self.time_end = self.leader.time_end
        else:
            self.time_end = -1 if new_time == -1 else max(self.time_end, new_time)

    def get_time_begin(self) -> int:
        """The step that produces it, or the tensor it lies on."""
        return self.time_begin if self.leader is None else self.leader.get_time_begin()

    def get_time_end(self) -> int:
        """The step before which its memory is given away; -1 for never."""
        return self.time_end if self.leader is None else self.leader.get_time_end()

    # Place

    def get_offset(self) -> int:
        """Bytes from the start of the PSRAM arena."""
        return self._offset if self.leader is None else self.leader.get_offset()

    def set_offset(self, offset: int) -> None:
        """Places the tensor in PSRAM, and with it the one it lies on."""
        if self.leader is not None:
            self.leader.set_offset(offset)
        self._offset = offset

    def get_internal_offset(self) -> int:
        """Bytes from the start of the internal RAM arena."""
        return self._internal_offset if self.leader is None else self.leader.get_internal_offset()

    def set_internal_offset(self, offset: int) -> None:
        """Places the tensor in internal RAM."""
        if self.leader is not None:
            self.leader.set_internal_offset(offset)
        self._is_internal = True
        self._internal_offset = offset

    def get_internal_state(self) -> bool:
        """Whether it lies in internal RAM."""
        return self._is_internal if self.leader is None else self.leader.get_internal_state()

    def set_internal_state(self, is_internal: bool) -> None:
        """Says whether the tensor, and the one it lies on, is in internal RAM."""
        if self.leader is not None:
            self.leader.set_internal_state(is_internal)
        self._is_internal = is_internal

    # Facts

    def get_size(self) -> int:
        """Bytes, not aligned."""
        return self.size

    def get_name(self) -> str:
        """The name."""
        return self.name

    def get_shape(self) -> list[int]:
        """The extents."""
        return list(self.shape)

    def create_tensor(self, internal_root: NDArray[np.uint8] | None, psram_root: NDArray[np.uint8] | None) -> TensorBase:
        """The tensor itself, as a view into its arena. Raises :class:`EspdlError` when it does not fit there."""
        internal = self.get_internal_state()
        root = internal_root if internal else psram_root
        start = self.get_internal_offset() if internal else self.get_offset()
        memory = None if root is None else root[start : start + self.size]
        if memory is None or memory.size != prod(self.shape) * self.dtype.numpy.itemsize:
            raise EspdlError(
                f"tensor {self.name!r} does not fit into its place", why=f"{self.dtype.name} {self.shape} in {self.size} bytes"
            )
        return TensorBase(self.shape, memory.view(self.dtype.numpy), self.exponent, self.dtype, deep=False)

    def print(self) -> None:
        """Prints name, life time, size and both offsets."""
        print(
            f"name:{self.name}, from {self.time_begin} to {self.time_end}, size:{self.size}, "
            f"offset:({self.get_offset()}, {self.get_internal_offset()})"
        )

    def __repr__(self) -> str:
        return f"TensorInfo({self.name!r}, {self.time_begin}, {self.time_end}, {self.shape}, {self.dtype.name})"


class MemoryChunk:
    """A piece of an arena, free or taken by one tensor: ``MemoryChunk(size, is_free, alignment)`` or ``MemoryChunk(tensor, alignment)``.

    Args:
        size: in bytes; or the tensor that takes it (its size is rounded up).
        is_free: of a chunk given by its size.
        alignment: of its place and size, in bytes.

    Attributes:
        offset: bytes from the start of the arena.
        tensor: who takes it.
    """

    def __init__(self, size: int | TensorInfo, is_free: int = False, alignment: int = ALIGNMENT) -> None:
        if isinstance(size, TensorInfo) and is_free:
            alignment = is_free
        self.alignment = alignment
        self.offset = 0
        self.tensor: TensorInfo | None = None
        if isinstance(size, TensorInfo):
            self.tensor, self.is_free = size, False
            self.size = self.get_aligned_size(size.get_size())
        else:
            self.size, self.is_free = size, bool(is_free)

    def get_aligned_size(self, size: int) -> int:
        """``size`` rounded up to the alignment."""
        return round_up(size, self.alignment)

    def merge_free_chunk(self, chunk: MemoryChunk | None) -> MemoryChunk | None:
        """Takes over a free neighbour. Returns this chunk, or None when the neighbour is not free."""
        if chunk is None or not chunk.is_free:
            return None
        self.size += chunk.size
        self.offset = min(self.offset, chunk.offset)
        return self

    def insert(self, tensor: TensorInfo) -> MemoryChunk | None:
        """Gives the chunk to ``tensor`` and returns what is left of it, None when nothing is.

        A chunk that holds the tensor but not its aligned size (possible at the end of an internal arena whose size is no multiple of the
        alignment) is left as it is: free.
        """
        taken = self.get_aligned_size(tensor.get_size())
        if not self.is_free or self.size < taken:
            return None
        self.tensor, self.is_free = tensor, False
        if self.size == taken:
            return None
        rest = MemoryChunk(self.size - taken, True, self.alignment)
        rest.offset = self.offset + taken
        self.size = taken
        return rest

    def extend(self, tensor: TensorInfo) -> MemoryChunk | None:
        """Grows a free chunk that is too small and gives it to ``tensor``. Returns this chunk, or None when it is not such a one."""
        needed = self.get_aligned_size(tensor.get_size())
        if not self.is_free or self.size >= needed:
            return None
        self.tensor, self.is_free, self.size = tensor, False, needed
        return self

    def free(self) -> None:
        """Marks the chunk as free."""
        self.is_free, self.tensor = True, None


class Arena:
    """Best fit over free chunks, growing at the end (spec 5.2 step B).

    Attributes:
        chunks: in order of offset.
        free: the free ones, in ascending order of size; of equal size in the order in which they became free.
    """

    def __init__(self, alignment: int = ALIGNMENT, fixed_size: int = 0) -> None:
        self.alignment = alignment
        self.chunks: list[MemoryChunk] = []
        self.free: list[MemoryChunk] = []
        if fixed_size:
            chunk = MemoryChunk(fixed_size, True, alignment)
            self.chunks.append(chunk)
            self.free.append(chunk)

    @property
    def size(self) -> int:
        """Bytes from the start to the end of the last chunk."""
        return self.chunks[-1].offset + self.chunks[-1].size if self.chunks else 0

    def fit(self, tensor: TensorInfo) -> int | None:
        """Places ``tensor`` into the smallest free chunk that holds it. Returns the offset, None when there is none."""
        chunk = next((c for c in self.free if c.size >= tensor.get_size()), None)
        if chunk is None:
            return None
        rest = chunk.insert(tensor)
        _remove(self.free, chunk)
        if rest is not None:
            self.chunks.insert(_position(self.chunks, chunk) + 1, rest)
            self._add_free(rest)
        return chunk.offset

    def place(self, tensor: TensorInfo) -> int:
        """Places ``tensor``: by :meth:`fit`, else by growing the last chunk if it is free, else in a new one. Returns the offset."""
        offset = self.fit(tensor)
        if offset is not None:
            return offset
        last = self.chunks[-1] if self.chunks else None
        if last is not None and last.extend(tensor):
            _remove(self.free, last)
            return last.offset
        chunk = MemoryChunk(tensor, alignment=self.alignment)
        chunk.offset = self.size
        self.chunks.append(chunk)
        return chunk.offset

    def release(self, tensor: TensorInfo) -> None:
        """Frees the chunk of ``tensor`` and merges it with free neighbours; nothing when it has none."""
        position = next((i for i, c in enumerate(self.chunks) if c.tensor is tensor), None)
        if position is None:
            return
        chunk = self.chunks[position]
        chunk.free()
        if position + 1 < len(self.chunks) and chunk.merge_free_chunk(self.chunks[position + 1]):
            _remove(self.free, self.chunks.pop(position + 1))
        if position and chunk.merge_free_chunk(self.chunks[position - 1]):
            _remove(self.free, self.chunks.pop(position - 1))
        self._add_free(chunk)

    def _add_free(self, chunk: MemoryChunk) -> None:
        self.free.append(chunk)
        self.free.sort(key=lambda c: c.size)


def _position(chunks: Sequence[MemoryChunk], chunk: MemoryChunk) -> int:
    return next(i for i, c in enumerate(chunks) if c is chunk)


def _remove(chunks: list[MemoryChunk], chunk: MemoryChunk) -> None:
    """Removes by identity. A chunk that :meth:`MemoryChunk.insert` left free is not in the list any more."""
    for i, candidate in enumerate(chunks):
        if candidate is chunk:
            del chunks[i]
            return
