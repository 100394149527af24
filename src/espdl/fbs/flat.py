"""Bounds-checked access to FlatBuffers tables.

The generated accessors trust the file; these do not. Every offset, length and field is checked against the buffer before it is used, and
the bytes handed out are counted: a buffer whose offsets share parts of it could otherwise be followed for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, unpack_from
from typing import TypeVar

from espdl.errors import EspdlError

MAX_FIELDS = 20
"""Fields of a table that are looked at; no table of the schema has more than 16."""

MAX_VISITS = 3
"""Budget of bytes visited, in sizes of the file. Honest files come to 2, as they share the types of graph inputs and outputs."""

TABLE_COST = 16
"""Bytes that visiting a table counts for beyond its size: a table of nothing still makes a record."""

_I32 = Struct("<i").unpack_from
_U32 = Struct("<I").unpack_from
_U16_PAIR = Struct("<HH").unpack_from
_I64 = Struct("<q").unpack_from
_F32 = Struct("<f").unpack_from

Record = TypeVar("Record")


class FlatBuffer:
    """One buffer, and how much of it may still be visited.

    Args:
        data: contiguous bytes; a read-only view of them is kept.

    Raises:
        EspdlError: when it is too short or too long to be a FlatBuffer.
    """

    __slots__ = ("_budget", "_strings", "_vtables", "data", "size")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self.data = memoryview(data).cast("B").toreadonly()
        self.size = len(self.data)
        if self.size < 8:
            raise EspdlError(f"{self.size} bytes hold no model", where="byte 0", why="the file is truncated")
        if self.size > 0x7FFFFFFF:
            raise EspdlError("a model cannot be larger than 2 GiB", where="byte 0")
        self._budget = MAX_VISITS * self.size
        self._vtables: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._strings: dict[int, str] = {}

    def root(self, name: str) -> Table:
        """The root table; ``name`` stands for it in error messages."""
        return Table(self, _U32(self.data, 0)[0], None, name, -1)

    def charge(self, amount: int) -> bool:
        """Counts bytes as visited; False when they are more than an honest file of this size leads to."""
        self._budget -= amount
        return self._budget >= 0

    def vtable(self, position: int) -> tuple[int, tuple[int, ...]] | None:
        """Size of the table and offsets of its fields from a vtable; None when the vtable is not inside the buffer."""
        known = self._vtables.get(position)
        if known is not None:
            return known
        if position < 0 or position + 4 > self.size:
            return None
        vtable_size, table_size = _U16_PAIR(self.data, position)
        if vtable_size < 4 or vtable_size & 1 or position + vtable_size > self.size or table_size < 4:
            return None
        count = min(vtable_size // 2 - 2, MAX_FIELDS)
        offsets = unpack_from(f"<{count}H", self.data, position + 4)
        self._vtables[position] = table_size, offsets
        return table_size, offsets

    def string(self, position: int) -> str | None:
        """The string at ``position``, decoded once; None when it is not inside the buffer. Raises UnicodeDecodeError."""
        known = self._strings.get(position)
        if known is not None:
            return known
        if position + 4 > self.size:
            return None
        length = _U32(self.data, position)[0]
        end = position + 4 + length
        if end > self.size or not self.charge(length):
            return None
        text = str(self.data[position + 4 : end], "utf-8")
        self._strings[position] = text
        return text


class Table:
    """A table of a :class:`FlatBuffer`. Fields are asked for by slot, their number in the schema; every getter checks what it reads.

    All getters raise :class:`EspdlError` that names the table by its path and the byte in the buffer.
    """

    __slots__ = ("_end", "_index", "_name", "_offsets", "_parent", "buffer", "position")

    def __init__(self, buffer: FlatBuffer, position: int, parent: Table | None, name: str, index: int) -> None:
        self.buffer = buffer
        self.position = position
        self._parent = parent
        self._name = name
        self._index = index
        if position + 4 > buffer.size:
            raise self.error("offset of a table points outside the file", position)
        vtable = buffer.vtable(position - _I32(buffer.data, position)[0])
        if vtable is None:
            raise self.error("the table's description lies outside the file or is damaged", position)
        size, self._offsets = vtable
        self._end = position + size
        if self._end > buffer.size:
            raise self.error("the table reaches beyond the end of the file", position)
        if not buffer.charge(size + TABLE_COST):
            raise self.error("tables or vectors overlap far more than in any honest file", position)

    @property
    def path(self) -> str:
        """Where the table hangs, as in ``graph.node[12].attribute[3]``."""
        name = self._name if self._index < 0 else f"{self._name}[{self._index}]"
        if self._parent is None or self._parent._parent is None:
            return name
        return f"{self._parent.path}.{name}"

    def error(self, what: str, position: int | None = None) -> EspdlError:
        """An error at this table, or at ``position`` within it."""
        return EspdlError(what, where=f"{self.path}, byte {self.position if position is None else position}")

    def field(self, slot: int, width: int) -> int:
        """Position of a field of ``width`` bytes; 0 when the table does not have it."""
        offsets = self._offsets
        if slot >= len(offsets):
            return 0
        offset = offsets[slot]
        if not offset:
            return 0
        position = self.position + offset
        if offset < 4 or position + width > self._end:
            raise self.error(f"field {slot} lies outside its table", position)
        return position

    def has(self, slot: int) -> bool:
        """Whether the field is present."""
        return slot < len(self._offsets) and self._offsets[slot] != 0

    def uint8(self, slot: int, default: int = 0) -> int:
        position = self.field(slot, 1)
        return self.buffer.data[position] if position else default

    def int32(self, slot: int, default: int = 0) -> int:
        position = self.field(slot, 4)
        return int(_I32(self.buffer.data, position)[0]) if position else default

    def int64(self, slot: int, default: int = 0) -> int:
        position = self.field(slot, 8)
        return int(_I64(self.buffer.data, position)[0]) if position else default

    def float32(self, slot: int, default: float = 0.0) -> float:
        """A binary32 number, as binary64."""
        position = self.field(slot, 4)
        return float(_F32(self.buffer.data, position)[0]) if position else default

    def _target(self, slot: int) -> int:
        """Position that an offset field refers to; 0 when the field is absent."""
        offsets = self._offsets
        if slot >= len(offsets) or not offsets[slot]:
            return 0
        position = self.field(slot, 4)
        return position + int(_U32(self.buffer.data, position)[0])

    def table(self, slot: int, name: str) -> Table | None:
        position = self._target(slot)
        return Table(self.buffer, position, self, name, -1) if position else None

    def string(self, slot: int, name: str) -> str:
        """A string; empty when absent."""
        position = self._target(slot)
        return self._string(position, name) if position else ""

    def _string(self, position: int, name: str) -> str:
        try:
            text = self.buffer.string(position)
        except UnicodeDecodeError:
            raise self.error(f"{name} is not UTF-8 text", position) from None
        if text is None:
            raise self.error(f"{name} reaches beyond the end of the file", position)
        return text

    def vector(self, slot: int, width: int, name: str) -> tuple[int, int]:
        """First byte and number of elements of a vector whose elements take ``width`` bytes; (0, 0) when absent."""
        position = self._target(slot)
        if not position:
            return 0, 0
        buffer = self.buffer
        if position + 4 > buffer.size:
            raise self.error(f"offset of {name} points outside the file", position)
        count = int(_U32(buffer.data, position)[0])
        if position + 4 + count * width > buffer.size:
            raise self.error(f"{name} has {count} elements and reaches beyond the end of the file", position)
        if not buffer.charge(count * width):
            raise self.error("tables or vectors overlap far more than in any honest file", position)
        return position + 4, count

    def int64s(self, slot: int, name: str) -> tuple[int, ...]:
        start, count = self.vector(slot, 8, name)
        return unpack_from(f"<{count}q", self.buffer.data, start) if count else ()

    def float32s(self, slot: int, name: str) -> tuple[float, ...]:
        start, count = self.vector(slot, 4, name)
        return unpack_from(f"<{count}f", self.buffer.data, start) if count else ()

    def text(self, slot: int, name: str) -> str:
        """A vector of bytes that holds UTF-8 text."""
        start, count = self.vector(slot, 1, name)
        try:
            return str(self.buffer.data[start : start + count], "utf-8")
        except UnicodeDecodeError:
            raise self.error(f"{name} is not UTF-8 text", start) from None

    def strings(self, slot: int, name: str) -> list[str]:
        return [self._string(position, name) for position in self._targets(slot, name)]

    def each(self, slot: int, name: str, read: Callable[[Table], Record]) -> list[Record]:
        """The tables of a vector, each turned into a record by ``read``."""
        return [read(Table(self.buffer, position, self, name, index)) for index, position in enumerate(self._targets(slot, name))]

    def _targets(self, slot: int, name: str) -> list[int]:
        start, count = self.vector(slot, 4, name)
        if not count:
            return []
        return [start + 4 * index + offset for index, offset in enumerate(unpack_from(f"<{count}I", self.buffer.data, start))]
