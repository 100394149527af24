"""AES-128 in counter mode, as the chip decrypts models (runtime spec 1.2). ``cryptography`` is imported when a key is used."""

from __future__ import annotations

from collections.abc import Sequence

from espdl.errors import EspdlError

KEY_BYTES = 16
_FIRST_COUNTER = bytes(range(0x10, 0x20))  # the same for every file: two files under one key share their key stream


def crypt(data: bytes | memoryview, key: bytes | Sequence[int]) -> bytes:
    """Encrypts or decrypts, which is the same: ``data`` xor the key stream. Raises :class:`EspdlError` for a key that is not 16
    bytes."""
    if len(key) != KEY_BYTES or isinstance(key, str) or not all(0 <= number <= 255 for number in key):
        raise EspdlError("a key is 16 bytes", hint="give bytes, or 16 numbers from 0 to 255")
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(bytes(key)), modes.CTR(_FIRST_COUNTER)).encryptor()
    return cipher.update(data) + cipher.finalize()
