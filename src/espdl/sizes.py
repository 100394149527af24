"""Sizes in bytes as people write them."""

from __future__ import annotations

import re

from espdl.errors import EspdlError

LARGEST_SIZE = 0xFFFFFFFF
_FORM = re.compile(r"(0x[0-9a-f]{1,8}|\d{1,10}(?:\.\d{1,10})?)\s*([KM]?)(?:iB|B)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


def parse_size(text: str | int, what: str = "size", *, fractions: bool = False) -> int:
    """Bytes of ``300000``, ``0x1000``, ``512K`` or ``4 MiB``; K is 1024.

    Args:
        text: what was written; a number is bytes.
        what: is called so in messages.
        fractions: whether ``1.5M`` is a size, too.

    Raises:
        EspdlError: for what is no size, and for more than 4 GiB.
    """
    found = _FORM.fullmatch(str(text).strip())
    if found is None or ("." in found[1] and not fractions):
        raise EspdlError(f"the {what} {text!r} cannot be read", hint="write it as 4096, 0x1000, 512K or 4M")
    number = int(found[1], 16) if found[1][:2].lower() == "0x" else float(found[1])
    size = int(number * _UNITS[found[2].upper()])
    if size > LARGEST_SIZE:
        raise EspdlError(f"the {what} {text!r} is beyond 4 GiB")
    return size
