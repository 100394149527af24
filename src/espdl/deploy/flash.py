"""Models in a flash partition: the image that is flashed, the row of ``partitions.csv`` it needs, and the command that writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from espdl.alignment import round_up
from espdl.deploy.packages import require_absent
from espdl.dl.target import METADATA_KEY
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, open_mapped, pack, read_container, write_atomically
from espdl.fbs.files import require_writable
from espdl.fbs.flash_image import FlashImage, read_partitions
from espdl.fbs.partition_table import (
    SECTOR,
    TABLE_BYTES,
    TABLE_OFFSET,
    Partition,
    check_partitions,
    csv_size,
    parse_partition_csv,
    partition_csv_row,
    write_partition_table,
)
from espdl.sizes import parse_size

ERASED = 0xFF
_DATA, _SPIFFS = 1, 0x82  # the subtype that ESP-DL asks for; nothing of the SPIFFS file system is in it


@dataclass(frozen=True)
class ModelPartition:
    """A partition and what was written for it.

    Attributes:
        label, offset, size: of the partition; bytes.
        bytes: of the content.
        models: names of the files in it.
        chip: as esptool calls it, or ``auto``.
        updated: whether the partition table was rewritten.
    """

    label: str
    offset: int
    size: int
    bytes: int
    models: tuple[str, ...]
    chip: str
    updated: bool

    def write_command(self, image: str | Path) -> str:
        """The esptool command that writes ``image`` to this partition."""
        return f"esptool --chip {self.chip} write-flash {self.offset:#x} {image}"

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def partition_content(models: Sequence[str | Path]) -> bytes:
    """What the chip reads from the partition: the file itself, or a PDL3 package of several.

    Raises:
        EspdlError: a file that holds no model, or the same name twice.
    """
    if len(models) == 1:
        content = open_mapped(models[0])
        read_container(content, source=str(models[0])).require_sha256(str(models[0]))
        return bytes(content)
    return pack([(Path(path).name, bytes(open_mapped(path))) for path in models])


def fit_into_table(
    content_bytes: int, partitions: Sequence[Partition], label: str, *, flash_size: int | None = None
) -> Partition:
    """The partition that holds the content.

    Raises:
        EspdlError: no such label, a partition that is too small (by how much, and the row that would do), or a table that does not fit
            the flash.
    """
    check_partitions(partitions, flash_size=flash_size, table_offset=None)
    row = next((row for row in partitions if row.label == label), None)
    if row is None:
        wanted = Partition(label, _DATA, _SPIFFS, 0, round_up(content_bytes, SECTOR))
        raise EspdlError(
            f"there is no partition {label!r}",
            why="the table has " + ", ".join(repr(row.label) for row in partitions),
            hint=f"add the row  {partition_csv_row(wanted, offset=False)}  or let --update do it",
        )
    if content_bytes > row.size:
        grown = replace(row, size=round_up(content_bytes, SECTOR))
        raise EspdlError(
            f"the content has {content_bytes} bytes, {content_bytes - row.size} more than partition {label!r}",
            hint=f"write the row as  {partition_csv_row(grown, offset=False)}  or let --update do it",
        )
    return row


def update_partition_csv(
    text: str,
    label: str,
    content_bytes: int,
    *,
    flash_size: int | None = None,
    table_offset: int = TABLE_OFFSET,
    source: str = "",
) -> str:
    """``partitions.csv`` with a partition that holds the content: its row grown, or added at the end. Other lines stay as they are.

    A partition that is large enough keeps its size. Rows behind one that grows must not have offsets that it would run into.

    Raises:
        EspdlError: when the table does not work then: partitions overlap, or do not fit the flash.
    """
    rows = parse_partition_csv(text, table_offset=table_offset, source=source)
    size = round_up(content_bytes, SECTOR)
    row = next((row for row in rows if row.label == label), None)
    lines = text.splitlines()
    if row is None:
        lines.append(partition_csv_row(Partition(label, _DATA, _SPIFFS, 0, size), offset=False))
    elif row.size < content_bytes:
        for index, line in enumerate(lines):
            content, mark, comment = line.partition("#")
            fields = content.split(",")
            if fields[0].strip() == label and len(fields) >= 5:
                fields[4] = re.sub(r"\S+", csv_size(size), fields[4], count=1)
                lines[index] = ",".join(fields) + mark + comment
    updated = "\n".join(lines) + "\n"
    rows = parse_partition_csv(updated, table_offset=table_offset, source=source)
    check_partitions(rows, flash_size=flash_size, table_offset=table_offset)
    return updated


def put_into_flash(
    flash: str | Path, partitions: Sequence[Partition], label: str, content: bytes, *, table_offset: int = TABLE_OFFSET
) -> None:
    """Writes content into the whole image of a flash, which is made, with its partition table, when it is not there.

    The rest of the partition becomes erased flash; everything else stays as it is.

    Raises:
        EspdlError: an image whose own table disagrees with ``partitions``, and what :func:`fit_into_table` finds.
    """
    row = fit_into_table(len(content), partitions, label)
    require_writable(flash)
    if Path(flash).exists():
        image = bytearray(open_mapped(flash))
        if sorted(FlashImage(bytes(image), table_offset=table_offset).partitions.values(), key=_offset) != sorted(
            partitions, key=_offset
        ):
            raise EspdlError(
                "the image has another partition table", where=str(flash), hint="build it with this table, or choose another file"
            )
    else:
        image = bytearray([ERASED]) * (table_offset + TABLE_BYTES)
        image[table_offset:] = write_partition_table(partitions)
    if len(image) < row.end:
        image += bytes([ERASED]) * (row.end - len(image))
    image[row.offset : row.end] = content.ljust(row.size, bytes([ERASED]))
    write_atomically(flash, image)


def write_model_partition(
    models: Sequence[str | Path],
    table: str | Path,
    *,
    label: str = "model",
    out: str | Path,
    flash: str | Path | None = None,
    flash_size: str | None = None,
    table_offset: int = TABLE_OFFSET,
    update: bool = False,
    force: bool = False,
) -> ModelPartition:
    """Writes the image of a model partition, and if wished the row of the table and the image of the whole flash.

    Args:
        models: model files, or one package. Several are packed as PDL3.
        table: ``partitions.csv``, or the binary table.
        label: of the partition.
        out: the image to write: what the chip reads, without padding.
        flash: an image of the whole flash to put it into as well; made when it is not there.
        flash_size: of the chip, as ``16M``; None does not check it.
        table_offset: where in the flash the table lies.
        update: whether the row in ``table`` is added or enlarged.
        force: whether ``out`` is replaced when it is there.

    Raises:
        EspdlError: for models or a table that do not work; nothing is written then.
    """
    room = None if flash_size is None else parse_size(flash_size, "flash size")
    content = partition_content(models)
    rows, text = read_partitions(table, table_offset=table_offset), None
    if update:
        text = update_partition_csv(
            _csv_text(table), label, len(content), flash_size=room, table_offset=table_offset, source=str(table)
        )
        rows = parse_partition_csv(text, table_offset=table_offset, source=str(table))
    row = fit_into_table(len(content), rows, label, flash_size=room)
    require_writable(out, models)
    require_absent(out, force)
    if text is not None:
        write_atomically(table, text)
    if flash is not None:
        put_into_flash(flash, rows, label, content, table_offset=table_offset)
    write_atomically(out, content)
    names = tuple(Path(path).name for path in models)
    return ModelPartition(label, row.offset, row.size, len(content), names, _esptool_chip(content), text is not None)


def _csv_text(table: str | Path) -> str:
    try:
        return Path(table).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EspdlError("only partitions.csv can be updated", where=str(table), why="this is the binary table") from None


def _esptool_chip(content: bytes) -> str:
    """The chip that the first model says it is for, by the name that esptool knows; ``auto`` when it does not say."""
    loader = FbsLoader(content)
    try:
        target = loader.load().get_model_metadata_prop(METADATA_KEY)
    except EspdlError:  # it is encrypted
        return "auto"
    return target if target.startswith("esp") else "auto"


def _offset(row: Partition) -> int:
    return row.offset
