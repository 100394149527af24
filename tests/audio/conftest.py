"""WAV files and sounds for the tests."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from numpy.typing import NDArray


def wav_bytes(body: bytes, *, code: int = 1, channels: int = 1, rate: int = 16000, bits: int = 16, extra: bytes = b"") -> bytes:
    """A WAV file with these sample bytes; ``extra`` chunks come before the samples."""
    width = channels * bits // 8
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, code, channels, rate, rate * width, width, bits)
    chunks = layout + extra + struct.pack("<4sI", b"data", len(body)) + body
    return struct.pack("<4sI4s", b"RIFF", 4 + len(chunks), b"WAVE") + chunks


@pytest.fixture(scope="session")
def sound() -> NDArray[np.int16]:
    """A second of a rising tone in noise, int16 at 16 kHz."""
    rng = np.random.Generator(np.random.PCG64(3))
    time = np.arange(16000) / 16000
    tone = 9000 * np.sin(2 * np.pi * (200 + 1500 * time) * time) * (0.2 + time)
    return (tone + 500 * rng.standard_normal(16000)).round().astype(np.int16)
