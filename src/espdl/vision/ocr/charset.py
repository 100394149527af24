"""The characters that a recogniser's classes stand for. They are not in the model's file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from espdl.errors import EspdlError

BLANK = ""
"""Class 0 is no character."""
_LITERAL = re.compile(r'"((?:\\x[0-9a-fA-F]{2}|\\.|[^"\\\n])*)"')
_TABLE = re.compile(r"charset\s*\[\s*\]\s*=\s*\{(.*?)\}\s*;", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))")


def read_charset(path: str | os.PathLike[str], classes: int) -> tuple[str, ...]:
    """The character of each class, class 0 being none.

    Args:
        path: a text file with a character in each line, as PaddleOCR's dictionaries have it; a blank in front and a space at the end
            are added where the number of classes says that they are missing. Or ``pp_ocr_v6_dict.hpp`` of ESP-DL's component
            ``pp_ocr_v6``.
        classes: of the recogniser, 6906 of ESP-DL's PP-OCRv6.

    Raises:
        EspdlError: when the file cannot be read or has another number of characters.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EspdlError("the characters cannot be read", where=str(path), why=str(error)) from None
    table = _TABLE.search(text)
    found = [_unescaped(literal) for literal in _LITERAL.findall(table[1])] if table else text.removesuffix("\n").split("\n")
    found = [character.removesuffix("\r") for character in found]
    for complete in (found, [BLANK, *found], [BLANK, *found, " "]):
        if len(complete) == classes and complete[0] == BLANK:
            return tuple(complete)
    raise EspdlError(
        f"{len(found)} characters do not fit a model of {classes} classes",
        where=str(path),
        hint="take the dictionary that belongs to the model: pp_ocr_v6_dict.hpp in models/pp_ocr_v6 of https://github.com/espressif/esp-dl",
    )


def _unescaped(literal: str) -> str:
    def byte(match: re.Match[bytes]) -> bytes:
        return bytes([int(match[1], 16)]) if match[1] else match[2]

    return _ESCAPE.sub(byte, literal.encode()).decode("utf-8", "replace")
