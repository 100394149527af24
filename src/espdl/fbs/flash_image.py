"""What lies in a chip's flash: partitions found by their label, as the chip's loader finds them (guide 3.2.3)."""

from __future__ import annotations

from pathlib import Path

from espdl.errors import EspdlError
from espdl.fbs.files import open_mapped
from espdl.fbs.partition_table import TABLE_BYTES, TABLE_OFFSET, Partition, parse_partition_csv, read_partition_table


class FlashImage:
    """The content of a flash, whose partitions are found by their labels.

    Args:
        image: the whole flash from byte 0, as bytes or a path: ``flash.bin`` as ``esptool merge-bin`` or ``read-flash`` writes it. It may
            end early, as merged images do: what is missing is erased flash.
        table: the partition table as ``partitions.csv`` or as its binary; None takes the one in the image.
        table_offset: where in the image the table lies.

    Attributes:
        partitions: rows of the table, by label.

    Raises:
        EspdlError: files that cannot be read, and a table that is missing or damaged.
    """

    def __init__(
        self, image: str | Path | bytes | memoryview, table: str | Path | None = None, *, table_offset: int = TABLE_OFFSET
    ) -> None:
        self.source = str(image) if isinstance(image, (str, Path)) else "flash image"
        self._image = open_mapped(image) if isinstance(image, (str, Path)) else memoryview(image).cast("B").toreadonly()
        if table is None:
            rows = read_partition_table(self._image[table_offset : table_offset + TABLE_BYTES], source=self.source)
        else:
            rows = read_partitions(table, table_offset=table_offset)
        self.partitions = {row.label: row for row in rows}

    def read(self, label: str) -> memoryview:
        """The bytes of a partition. Raises :class:`EspdlError` when there is none of that label or the image ends before it."""
        row = self.partitions.get(label)
        if row is None:
            raise EspdlError(
                f"there is no partition {label!r}", where=self.source, hint="one of " + ", ".join(map(repr, self.partitions))
            )
        content = self._image[row.offset : row.end]
        if not content:
            raise EspdlError(
                f"partition {label!r} is not in the image",
                where=self.source,
                why=f"it begins at {row.offset:#x}, and the image ends at {len(self._image):#x}",
                hint="write the model into it: espdl flash-image --help",
            )
        return content


Flash = FlashImage | str | Path | bytes


def open_flash(flash: Flash) -> FlashImage:
    """The image that a path or bytes stand for."""
    return flash if isinstance(flash, FlashImage) else FlashImage(flash)


def read_partitions(path: str | Path, *, table_offset: int = TABLE_OFFSET) -> list[Partition]:
    """The rows of a partition table in a file, CSV or binary. Raises :class:`EspdlError` for what cannot be read."""
    data = open_mapped(path)
    if bytes(data[:2]) == b"\xaa\x50":
        return read_partition_table(data, source=str(path))
    try:
        text = bytes(data).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise EspdlError("this is neither a partition table nor its CSV", where=str(path)) from None
    return parse_partition_csv(text, table_offset=table_offset, source=str(path))
