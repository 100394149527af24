"""Partition tables: CSV and binary, and every way in which they do not work."""

from __future__ import annotations

import hashlib
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from espdl.fbs.partition_table import (
    SECTOR,
    TABLE_BYTES,
    Partition,
    check_partitions,
    parse_partition_csv,
    partition_csv_row,
    read_partition_table,
    write_partition_table,
)

CSV = """\
# Name,   Type, SubType, Offset,  Size, Flags
nvs,      data, nvs,     ,        0x6000,
phy_init, data, phy,     ,        0x1000,
factory,  app,  factory, ,        8000K,

model,    data, spiffs,  ,        4M,  readonly  # weights
"""


def test_partitions_without_an_offset_follow_each_other_on_borders_of_their_type() -> None:
    assert parse_partition_csv(CSV) == [
        Partition("nvs", 1, 2, 0x9000, 0x6000),
        Partition("phy_init", 1, 1, 0xF000, 0x1000),
        Partition("factory", 0, 0, 0x10000, 8000 * 1024),
        Partition("model", 1, 0x82, 0x7E0000, 4 << 20, flags=2),
    ]


def test_a_table_elsewhere_moves_what_follows_it() -> None:
    assert parse_partition_csv("nvs,data,nvs,,0x6000", table_offset=0x10000)[0].offset == 0x11000


def test_the_binary_is_that_of_esp_idf() -> None:
    nvs, model = Partition("nvs", 1, 2, 0x9000, 0x6000), Partition("model", 1, 0x82, 0x110000, 0x400000, flags=1)
    rows = b"\xaa\x50\x01\x02" + struct.pack("<II", 0x9000, 0x6000) + b"nvs".ljust(16, b"\0") + bytes(4)
    rows += b"\xaa\x50\x01\x82" + struct.pack("<II", 0x110000, 0x400000) + b"model".ljust(16, b"\0") + b"\1\0\0\0"
    digest = b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(rows).digest()
    table = write_partition_table([nvs, model])
    assert table == (rows + digest).ljust(TABLE_BYTES, b"\xff")
    assert read_partition_table(table) == [nvs, model]
    without_digest = rows.ljust(TABLE_BYTES, b"\xff")
    assert read_partition_table(without_digest) == [nvs, model]


@st.composite
def tables(draw: st.DrawFn) -> list[Partition]:
    rows: list[Partition] = []
    end = 0x9000
    for index in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from([0, 1, 64]))
        alignment = 0x10000 if kind == 0 else SECTOR
        offset = -(-end // alignment) * alignment + alignment * draw(st.integers(0, 3))
        size = SECTOR * draw(st.integers(1, 1000))
        rows.append(Partition(f"p{index}", kind, draw(st.integers(0, 254)), offset, size, draw(st.integers(0, 3))))
        end = offset + size
    return rows


@given(tables())
def test_both_forms_keep_every_table(table: list[Partition]) -> None:
    assert read_partition_table(write_partition_table(table)) == table
    assert parse_partition_csv("\n".join(map(partition_csv_row, table))) == table


@given(st.binary(max_size=256))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with suppress(EspdlError):
        assert read_partition_table(b"\xaa\x50" + data)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a_label_of_16_byt, data, nvs, , 4K", "line 1: the label 'a_label_of_16_byt' is not 1 to 15 bytes long"),
        ("m, data, nvs, , 100", "has 100 bytes, not a multiple of 4096.*\n.*4096 bytes"),
        ("m, data, nvs, 0x9100, 4K", "begins at 0x9100, not at a multiple of 0x1000"),
        ("m, app, factory, 0x11000, 4K", "begins at 0x11000, not at a multiple of 0x10000"),
        ("m, data, nvs, 0x8000, 4K", "over the boot loader or the partition table"),
        ("m, data, nvs, , 0", "has no size"),
        ("m, data, nvs, , 4T", "the size '4T' cannot be read"),
        ("m, data, nvs, , 9999M", "beyond 4 GiB"),
        ("m, data, flash, , 4K", "'flash' is no subtype of a partition"),
        ("m, date, nvs, , 4K", "'date' is no type of a partition"),
        ("m, 300, 1, , 4K", "the type 300 of a partition is not from 0 to 254"),
        ("m, data, nvs", "3 fields instead of 5 or 6"),
        ("m, data, nvs, , 4K, secret", "there is no flag 'secret'"),
        ("m, data, nvs, , 4K\nm, data, nvs, , 4K", "line 2: two partitions have the label 'm'"),
        ("m, data, nvs, , 8K\nn, data, nvs, 0xa000, 4K", "line 2: partitions 'm' and 'n' overlap"),
    ],
)
def test_rows_that_do_not_work(line: str, message: str) -> None:
    with pytest.raises(EspdlError, match=f"partitions.csv, .*{message}"):
        parse_partition_csv(line, source="partitions.csv")


def test_a_table_beyond_the_flash() -> None:
    with pytest.raises(EspdlError, match="partition 'model' ends at 0xbe0000, and the flash has 0x800000 bytes"):
        check_partitions(parse_partition_csv(CSV), flash_size=8 << 20)


def test_damaged_tables() -> None:
    table = bytearray(write_partition_table(parse_partition_csv(CSV)))
    table[5] ^= 0x10
    with pytest.raises(EspdlError, match="byte 128 of the table: the partition table is damaged"):
        read_partition_table(table)
    with pytest.raises(EspdlError, match="byte 0 of the table: this is not a partition table"):
        read_partition_table(bytes(TABLE_BYTES))
    with pytest.raises(EspdlError, match="the partition table is empty"):
        read_partition_table(b"")
    many = [Partition(f"p{index}", 1, 0, 0x9000 + index * SECTOR, SECTOR) for index in range(95)]
    with pytest.raises(EspdlError, match="95 partitions do not fit"):
        write_partition_table(many)
