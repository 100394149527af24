"""Partition tables of ESP-IDF: the CSV that people write and the binary that lies in flash.

The binary is a run of 32-byte entries (little-endian) in a sector of its own, by default at 0x8000 of the flash:

====== ============ =========================================================
byte   field        meaning
====== ============ =========================================================
0      magic        AA 50; EB EB begins the entry with the MD5 of those before
2      type         0 app, 1 data, or a number from 64 to 254
3      subtype      depends on the type
4      offset       in flash, bytes
8      size         bytes
12     label        16 bytes, ended by a zero
28     flags        bit 0 encrypted, bit 1 read-only
====== ============ =========================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct

from espdl.alignment import round_up
from espdl.errors import EspdlError
from espdl.sizes import parse_size
from espdl.wording import counted

TABLE_OFFSET = 0x8000
"""Where the table lies unless ``CONFIG_PARTITION_TABLE_OFFSET`` says otherwise."""
TABLE_BYTES = 0xC00
SECTOR = 0x1000
"""Bytes that flash erases at once: data partitions begin and end on such borders."""
LABEL_BYTES = 16

_ENTRY = Struct("<2sBBII16sI")
_MAGIC, _DIGEST_MAGIC, _DIGEST_FILL = b"\xaa\x50", b"\xeb\xeb", b"\xff" * 14
_APP_ALIGNMENT = 0x10000
_TYPES = {"app": 0, "data": 1}
_SUBTYPES = {
    0: {"factory": 0x00, "test": 0x20} | {f"ota_{slot}": 0x10 + slot for slot in range(16)},
    1: {
        "ota": 0x00,
        "phy": 0x01,
        "nvs": 0x02,
        "coredump": 0x03,
        "nvs_keys": 0x04,
        "efuse": 0x05,
        "undefined": 0x06,
        "esphttpd": 0x80,
        "fat": 0x81,
        "spiffs": 0x82,
        "littlefs": 0x83,
    },
}
_FLAGS = {"encrypted": 1, "readonly": 2}


@dataclass(frozen=True)
class Partition:
    """One row. ``offset`` and ``size`` are bytes; ``type``, ``subtype`` and ``flags`` the numbers of the binary."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size

    @property
    def type_name(self) -> str:
        """``app``, ``data``, or the number."""
        return _name(_TYPES, self.type)

    @property
    def subtype_name(self) -> str:
        """``spiffs``, ``factory`` ..., or the number."""
        return _name(_SUBTYPES.get(self.type, {}), self.subtype)


def parse_partition_csv(text: str, *, table_offset: int = TABLE_OFFSET, source: str = "") -> list[Partition]:
    """The partitions of a ``partitions.csv``, with the offsets that ESP-IDF gives to those that have none.

    Args:
        text: lines of ``name, type, subtype, offset, size, flags``; sizes as 4096, 0x1000, 4K or 1M; ``#`` begins a comment.
        table_offset: where the table itself lies: partitions follow the sector behind it.
        source: name of the file, for error messages.

    Raises:
        EspdlError: a field that cannot be read, and whatever :func:`check_partitions` finds; names the line.
    """
    found: list[Partition] = []
    behind = table_offset + SECTOR
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        try:
            partition = _parse_row([field.strip() for field in line.split(",")], behind)
            check_partitions([*found, partition], table_offset=table_offset)
        except EspdlError as error:
            raise error.at(f"{source + ', ' if source else ''}line {number}") from None
        found.append(partition)
        behind = partition.end
    return found


def partition_csv_row(partition: Partition, *, offset: bool = True) -> str:
    """One line of ``partitions.csv``; without ``offset`` ESP-IDF places it behind the one before."""
    flags = ":".join(name for name, bit in _FLAGS.items() if partition.flags & bit)
    place = f"{partition.offset:#x}" if offset else ""
    fields = [partition.label, partition.type_name, partition.subtype_name, place, csv_size(partition.size), flags]
    return ", ".join(fields).rstrip(", ")


def csv_size(size: int) -> str:
    """Bytes as the CSV writes them: in K where that is whole."""
    return f"{size // 1024}K" if size % 1024 == 0 else f"{size:#x}"


def read_partition_table(data: bytes | memoryview, *, source: str = "") -> list[Partition]:
    """The partitions of a binary table.

    Raises:
        EspdlError: bytes that are no entry, a label that is not text, a wrong MD5, and what :func:`check_partitions` finds.
    """
    view = bytes(data[:TABLE_BYTES])
    found: list[Partition] = []
    for at in range(0, len(view) - _ENTRY.size + 1, _ENTRY.size):
        row = view[at : at + _ENTRY.size]
        try:
            if row[:2] == _MAGIC:
                _, kind, subtype, offset, size, label, flags = _ENTRY.unpack(row)
                found.append(Partition(_label_text(label), kind, subtype, offset, size, flags))
                continue
            if row.startswith(_DIGEST_MAGIC + _DIGEST_FILL):
                if row[16:] != hashlib.md5(view[:at], usedforsecurity=False).digest():
                    raise EspdlError("the partition table is damaged", why="its MD5 does not fit its entries")
                continue
            if row == b"\xff" * _ENTRY.size and found:
                break
            raise EspdlError(
                "this is not a partition table",
                why=f"an entry begins with {row[:2].hex(' ')}, not with aa 50",
                hint="it lies at CONFIG_PARTITION_TABLE_OFFSET of the flash, 0x8000 unless configured",
            )
        except EspdlError as error:
            raise error.at(f"{source + ', ' if source else ''}byte {at} of the table") from None
    if not found:
        raise EspdlError("the partition table is empty", where=source)
    check_partitions(found, table_offset=None)
    return found


def write_partition_table(partitions: Sequence[Partition]) -> bytes:
    """The binary table, :data:`TABLE_BYTES` long, with its MD5, as ESP-IDF's own tool writes it.

    Raises:
        EspdlError: see :func:`check_partitions`, and for more rows than fit.
    """
    check_partitions(partitions, table_offset=None)
    rows = b"".join(
        _ENTRY.pack(_MAGIC, row.type, row.subtype, row.offset, row.size, row.label.encode().ljust(LABEL_BYTES, b"\0"), row.flags)
        for row in partitions
    )
    table = rows + _DIGEST_MAGIC + _DIGEST_FILL + hashlib.md5(rows, usedforsecurity=False).digest()
    if len(table) > TABLE_BYTES - _ENTRY.size:
        raise EspdlError(f"{len(partitions)} partitions do not fit into a table", hint=f"at most {TABLE_BYTES // 32 - 2}")
    return table.ljust(TABLE_BYTES, b"\xff")


def check_partitions(
    partitions: Iterable[Partition], *, flash_size: int | None = None, table_offset: int | None = TABLE_OFFSET
) -> None:
    """Checks labels, borders, overlaps and, where ``flash_size`` (bytes) is given, that all lie in the flash.

    Raises:
        EspdlError: names the partition.
    """
    rows = list(partitions)
    for row in rows:
        _check_row(row)
        if table_offset is not None and row.offset < table_offset + SECTOR:
            raise EspdlError(
                f"partition {row.label!r} begins at {row.offset:#x}, over the boot loader or the partition table",
                hint=f"the first free byte is {table_offset + SECTOR:#x}",
            )
        if flash_size is not None and row.end > flash_size:
            raise EspdlError(
                f"partition {row.label!r} ends at {row.end:#x}, and the flash has {flash_size:#x} bytes",
                hint="make it smaller, or choose a module with more flash",
            )
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise EspdlError(f"two partitions have the label {label!r}")
    for before, after in pairwise(sorted(rows, key=lambda row: row.offset)):
        if after.offset < before.end:
            raise EspdlError(
                f"partitions {before.label!r} and {after.label!r} overlap",
                why=f"the first ends at {before.end:#x}, the second begins at {after.offset:#x}",
            )


def _check_row(row: Partition) -> None:
    if not row.label or len(row.label.encode()) >= LABEL_BYTES:
        raise EspdlError(
            f"the label {row.label!r} is not 1 to {LABEL_BYTES - 1} bytes long",
            why="the table keeps 16 bytes for it, one of them the zero at its end",
            hint="choose a shorter label",
        )
    if not row.label.isascii() or not row.label.isprintable() or "," in row.label or "#" in row.label:
        raise EspdlError(f"the label {row.label!r} cannot stand in a partition table", hint="letters, digits, _ and - can")
    if row.size <= 0:
        raise EspdlError(f"partition {row.label!r} has no size")
    alignment = _APP_ALIGNMENT if row.type == _TYPES["app"] else SECTOR
    if row.offset % alignment:
        raise EspdlError(f"partition {row.label!r} begins at {row.offset:#x}, not at a multiple of {alignment:#x}")
    if row.size % SECTOR:
        raise EspdlError(
            f"partition {row.label!r} has {row.size} bytes, not a multiple of {SECTOR}",
            hint=f"{round_up(row.size, SECTOR)} bytes",
        )


def _parse_row(fields: list[str], behind: int) -> Partition:
    if not 5 <= len(fields) <= 6 and not (len(fields) == 7 and not fields[6]):
        raise EspdlError(
            f"{counted(len(fields), 'field')} instead of 5 or 6", hint="write name, type, subtype, offset, size, flags"
        )
    label, kind_text, subtype_text, offset_text, size_text = fields[:5]
    kind = _number_or_name(kind_text, _TYPES, "type")
    subtype = _number_or_name(subtype_text, _SUBTYPES.get(kind, {}), "subtype") if subtype_text else 0
    alignment = _APP_ALIGNMENT if kind == _TYPES["app"] else SECTOR
    offset = parse_size(offset_text, "offset") if offset_text else round_up(behind, alignment)
    flags = 0
    for name in filter(None, (fields[5] if len(fields) > 5 else "").split(":")):
        if name.strip() not in _FLAGS:
            raise EspdlError(f"there is no flag {name.strip()!r}", hint="encrypted or readonly")
        flags |= _FLAGS[name.strip()]
    return Partition(label, kind, subtype, offset, parse_size(size_text, "size"), flags)


def _number_or_name(text: str, names: dict[str, int], what: str) -> int:
    if text.lower() in names:
        return names[text.lower()]
    try:
        number = int(text, 0)
    except ValueError:
        known = ", ".join(names) or "a number"
        raise EspdlError(f"{text!r} is no {what} of a partition", hint=f"one of {known}") from None
    if not 0 <= number <= 0xFE:
        raise EspdlError(f"the {what} {text} of a partition is not from 0 to 254")
    return number


def _label_text(field: bytes) -> str:
    label, _, rest = field.partition(b"\0")
    if rest.strip(b"\0") or not label.isascii():
        raise EspdlError("the label of a partition is not text ended by a zero")
    return label.decode("ascii")


def _name(names: dict[str, int], number: int) -> str:
    return next((name for name, value in names.items() if value == number), f"{number:#x}")
