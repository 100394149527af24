"""Sizes as they are written."""

from __future__ import annotations

import pytest

from espdl.errors import EspdlError
from espdl.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("300000", 300_000),
        ("0x1000", 4096),
        ("0X10k", 16 << 10),
        ("512K", 512 << 10),
        ("4M", 4 << 20),
        ("4 MiB", 4 << 20),
        (7, 7),
    ],
)
def test_sizes_are_bytes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


def test_fractions_are_sizes_where_they_are_asked_for() -> None:
    assert parse_size("1.5 MiB", fractions=True) == 3 << 19
    with pytest.raises(EspdlError, match="cannot be read"):
        parse_size("1.5M")


@pytest.mark.parametrize("text", ["much", "", "-1", "4T", "0x", "1e3", "0x1.5", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(EspdlError, match=r"the room .* cannot be read"):
        parse_size(text, "room", fractions=True)


def test_no_flash_is_larger_than_its_addresses() -> None:
    with pytest.raises(EspdlError, match="beyond 4 GiB"):
        parse_size("4097M")
