"""Chips as they are sold: how much flash and PSRAM, how fast these are, and what a program finds of the RAM on the chip."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from espdl.chips import Chip
from espdl.errors import EspdlError

KB, MB = 1 << 10, 1 << 20

FLASH_SIZES_MB = (1, 2, 4, 8, 16, 32, 64, 128)
PSRAM_SIZES_MB = (0, 2, 4, 8, 16, 32)

_NAME = re.compile(r"(?:.*-)?N(\d+)(?:R(\d+))?(V?A?)", re.IGNORECASE)


@dataclass(frozen=True)
class BoardModule:
    """A chip with its memories.

    Attributes:
        name: N flash R PSRAM in MB, as module names end.
        flash, psram: bytes.
        internal: bytes of RAM on the chip. free_internal: about what a program without radio leaves of it.
        flash_lines, psram_lines: of data: 4 quad, 8 octal, 16 hex; 0 where there is none.
        flash_mb_s, psram_mb_s: at most, in 10^6 bytes per second; 0 where there is none.
        source: where the facts come from.
    """

    name: str
    flash: int
    psram: int
    internal: int
    free_internal: int
    flash_lines: int
    psram_lines: int
    flash_mb_s: float
    psram_mb_s: float
    source: str


@cache
def _facts() -> dict[str, Any]:
    return tomllib.loads(resources.files("espdl.estimate").joinpath("modules.toml").read_text(encoding="utf-8"))


def module_names(chip: Chip) -> list[str]:
    """Names of the modules that are sold with ``chip``, the usual one first."""
    facts = _facts()[chip.name]
    return [facts["default"], *(name for name in facts["modules"] if name != facts["default"])]


def get_module(chip: Chip, name: str | None = None) -> BoardModule:
    """The module of that name.

    Args:
        chip: that it carries.
        name: the ending (``N16R8``) or the whole name (``ESP32-S3-WROOM-1-N16R8``); any sizes that the chip can address, sold or not.
            None takes the usual one.

    Raises:
        EspdlError: for a name that tells no sizes, or PSRAM that the chip cannot have.
    """
    facts = _facts()[chip.name]
    name = name or facts["default"]
    match = _NAME.fullmatch(name)
    known = ", ".join(module_names(chip))
    if match is None:
        raise EspdlError(f"{name!r} is no module", hint=f"N and R with megabytes of flash and PSRAM; for {chip.name}: {known}")
    flash, psram = int(match[1]), int(match[2] or 0)
    kinds = facts.get("psram", {})
    if psram and not kinds:
        raise EspdlError(f"{chip.name} has no PSRAM", hint=f"modules: {known}")
    if flash not in FLASH_SIZES_MB or psram not in PSRAM_SIZES_MB:
        raise EspdlError(
            f"{name!r} is no module", why="sizes are powers of two: flash 1 to 128 MB, PSRAM 2 to 32", hint=f"modules: {known}"
        )
    ending = f"N{flash}" + (f"R{psram}" if psram else "") + match[3].upper()
    octal_flash = ending in facts.get("octal_flash", ())
    kind = kinds.get(str(psram), kinds[""]) if psram else {"lines": 0, "mb_s": 0}
    return BoardModule(
        name=ending,
        flash=flash * MB,
        psram=min(psram, facts.get("psram_limit", psram)) * MB,
        internal=facts["internal_kb"] * KB,
        free_internal=facts["free_kb"] * KB,
        flash_lines=8 if octal_flash else 4,
        psram_lines=kind["lines"],
        flash_mb_s=facts["octal_flash_mb_s"] if octal_flash else facts["flash_mb_s"],
        psram_mb_s=kind["mb_s"],
        source=facts["source"],
    )
