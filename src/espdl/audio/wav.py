"""Reading WAV files: PCM of 8, 16, 24 and 32 bits and 32 or 64-bit floats, with any number of channels.

A chip reads 16-bit PCM only (runtime spec 8.1) and does not tell channels apart; :attr:`Wav.chip_reads` says whether it would take the
file, and :meth:`Wav.mono` is what its feature extractors should be fed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.fbs.files import open_mapped

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
MAX_CHANNELS = 256
_SUPPORTED = "PCM of 8, 16, 24 or 32 bits and floats of 32 or 64 bits are read"


@dataclass(frozen=True, eq=False)
class Wav:
    """Samples of a file as they are stored, and how they were recorded.

    Attributes:
        data: [samples, channels]: uint8, int16, int32 (24 and 32 bits, 24 as -2**23 ... 2**23 - 1), float32 or float64.
        sample_rate: in Hz.
        bits: of a stored sample.
        chip_reads: whether ESP-DL's ``decode_wav`` takes the file as one channel of speech: 16-bit PCM, mono.
    """

    data: NDArray
    sample_rate: int
    bits: int
    chip_reads: bool

    def __len__(self) -> int:
        """Samples per channel."""
        return len(self.data)

    @property
    def channels(self) -> int:
        return self.data.shape[1]

    @property
    def seconds(self) -> float:
        return len(self.data) / self.sample_rate

    def floats(self) -> NDArray[np.float32]:
        """[samples, channels] as real numbers; integers are scaled so that full scale is [-1, 1) (spec 8.3: int16 / 32768)."""
        if self.data.dtype.kind == "f":
            return self.data.astype(np.float32)
        if self.data.dtype == np.uint8:
            return (self.data.astype(np.float32) - np.float32(128)) / np.float32(128)
        return np.ldexp(self.data.astype(np.float32), 1 - self.bits)

    def mono(self, channel: int | None = None) -> NDArray[np.float32]:
        """[samples]: one channel, or the mean of all, full scale [-1, 1).

        Raises:
            EspdlError: when there is no such channel.
        """
        if channel is not None and not 0 <= channel < self.channels:
            raise EspdlError(f"there is no channel {channel}", why=f"the recording has {self.channels}, counted from 0")
        floats = self.floats()
        if channel is not None or self.channels == 1:
            return np.ascontiguousarray(floats[:, channel or 0])
        return floats.mean(axis=1, dtype=np.float32)


def read_wav(source: str | Path | bytes | bytearray | memoryview) -> Wav:
    """Reads a WAV file, or its bytes.

    Raises:
        EspdlError: when it is not one, is cut short, or holds samples of a kind that is not read.
    """
    if not isinstance(source, (str, Path)):
        return _parse(memoryview(source))
    content = open_mapped(source)
    try:
        return _parse(content)
    except EspdlError as error:
        raise error.at(str(source)) from None


def _parse(content: memoryview) -> Wav:
    if len(content) < 12 or bytes(content[:4]) != b"RIFF" or bytes(content[8:12]) != b"WAVE":
        raise EspdlError("this is not a WAV file", why="it does not begin with RIFF ... WAVE")
    layout: _Layout | None = None
    position = 12
    while position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        body = content[position + 8 : position + 8 + size]
        if name == b"fmt ":
            layout = _read_layout(body)
        elif name == b"data":
            if layout is None:
                raise EspdlError("the WAV file has samples before their format", where=f"byte {position}")
            if len(body) < size:
                raise EspdlError(
                    "the WAV file is cut short",
                    where=f"byte {position}",
                    why=f"its samples take {size} bytes, {len(body)} are left",
                )
            return layout.wav(body)
        position += 8 + size + (size & 1)  # chunks begin at even bytes
    missing = "samples (data)" if layout else "a format (fmt)"
    raise EspdlError(f"the WAV file has no {missing}", why="it is cut short, or another kind of RIFF file")


@dataclass(frozen=True)
class _Layout:
    code: int
    extensible: bool
    channels: int
    sample_rate: int
    bits: int

    def wav(self, body: memoryview) -> Wav:
        width = self.bits // 8
        count = len(body) // (width * self.channels)
        raw = np.frombuffer(body[: count * width * self.channels], np.uint8)
        if self.code == FLOAT:
            data: NDArray = raw.view("<f4" if width == 4 else "<f8")
        elif width == 3:
            wide = np.zeros((count * self.channels, 4), np.uint8)
            wide[:, 1:] = raw.reshape(-1, 3)
            data = wide.view("<i4")[:, 0] >> 8
        else:
            data = raw.view({1: "u1", 2: "<i2", 4: "<i4"}[width])
        samples = data.reshape(count, self.channels)
        chip_reads = self.code == PCM and not self.extensible and self.bits == 16 and self.channels == 1
        return Wav(samples, self.sample_rate, self.bits, chip_reads)


def _read_layout(body: memoryview) -> _Layout:
    if len(body) < 16:
        raise EspdlError("the format of the WAV file is cut short", why=f"{len(body)} bytes instead of 16")
    code, channels, sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    extensible = code == EXTENSIBLE and len(body) >= 26
    if extensible:
        (code,) = struct.unpack_from("<H", body, 24)
    if (code, bits) not in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}:
        raise EspdlError(
            "the WAV file holds samples of a kind that is not read",
            why=f"format code {code}, {bits} bits; {_SUPPORTED}",
            hint="convert it to 16-bit PCM, which chips read too",
        )
    if not 0 < channels <= MAX_CHANNELS or not sample_rate:
        raise EspdlError("the format of the WAV file makes no sense", why=f"{channels} channels at {sample_rate} Hz")
    return _Layout(code, extensible, channels, sample_rate, bits)
