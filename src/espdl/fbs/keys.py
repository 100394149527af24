"""Keys of encrypted models: from a file or the environment, so that no shell history and no list of processes holds them."""

from __future__ import annotations

import os
from pathlib import Path

from espdl.errors import EspdlError

KEY_VARIABLE = "ESPDL_KEY"
_KEY_BYTES = 16


def read_key(file: str | Path | None = None) -> bytes | None:
    """The 16 bytes of an AES-128 key.

    Args:
        file: holds 16 raw bytes, or 32 hexadecimal digits (blanks, commas and ``0x`` between them do no harm); None takes such digits
            from the environment variable ``ESPDL_KEY``.

    Returns:
        The key; None without a file and without the variable.

    Raises:
        EspdlError: what is there is no key. What was read is never shown.
    """
    if file is None:
        text = os.environ.get(KEY_VARIABLE)
        return None if text is None else _from_digits(text, KEY_VARIABLE)
    try:
        with open(file, "rb") as stream:
            content = stream.read(1024)
    except OSError as error:
        raise EspdlError("the key cannot be read", where=str(file), why=error.strerror or str(error)) from None
    if len(content) == _KEY_BYTES:
        return content
    return _from_digits(content.decode("latin-1"), str(file))


def require_key(file: str | Path | None = None) -> bytes:
    """The key, as :func:`read_key` finds it. Raises :class:`EspdlError` when there is none."""
    key = read_key(file)
    if key is None:
        raise EspdlError("there is no key", hint=f"give --key-file, or set {KEY_VARIABLE} to its 32 hexadecimal digits")
    return key


def _from_digits(text: str, where: str) -> bytes:
    digits = "".join(part.lower().removeprefix("0x") for part in text.replace(",", " ").split())
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise EspdlError("this is no key", where=where, hint="a key is 16 bytes, or 32 hexadecimal digits")
    return key
