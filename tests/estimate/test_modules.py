"""Modules by name."""

from __future__ import annotations

import pytest

from espdl.chips import CHIPS, get_chip
from espdl.errors import EspdlError
from espdl.estimate.modules import get_module, module_names

MB = 1 << 20


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_every_chip_has_modules(chip) -> None:  # type: ignore[no-untyped-def]
    for name in module_names(chip):
        module = get_module(chip, name)
        assert module.flash >= 2 * MB
        assert 0 < module.free_internal < module.internal
        assert module.flash_mb_s > 0
        assert (module.psram > 0) == (module.psram_mb_s > 0) == (module.psram_lines > 0)
        assert module.source
    assert get_module(chip) == get_module(chip, module_names(chip)[0])


def test_names_tell_sizes_and_speeds() -> None:
    chip = get_chip("esp32s3")
    octal, quad = get_module(chip, "ESP32-S3-WROOM-1-N16R8"), get_module(chip, "n8r2")
    assert (octal.name, octal.flash, octal.psram, octal.psram_lines, octal.psram_mb_s) == ("N16R8", 16 * MB, 8 * MB, 8, 160)
    assert (quad.name, quad.flash, quad.psram, quad.psram_lines, quad.psram_mb_s) == ("N8R2", 8 * MB, 2 * MB, 4, 40)
    assert get_module(chip, "ESP32-S3-WROOM-2-N32R16V").flash_mb_s == 4 * octal.flash_mb_s
    assert get_module(chip, "N16R16VA").flash_mb_s == octal.flash_mb_s  # VA is its supply
    assert get_module(chip, "N4").psram == 0
    assert get_module(get_chip("esp32"), "N4R8").psram == 4 * MB  # more is not in the address space


@pytest.mark.parametrize(
    ("chip", "name", "text"),
    [
        ("esp32s3", "WROOM", "is no module"),
        ("esp32c3", "N4R2", "has no PSRAM"),
        ("esp32s3", "N8R64", "PSRAM 2 to 32"),
        ("esp32s3", "N5R8", "powers of two"),
    ],
)
def test_what_is_no_module(chip: str, name: str, text: str) -> None:
    with pytest.raises(EspdlError, match=text):
        get_module(get_chip(chip), name)
