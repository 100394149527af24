"""WAV files: every kind of sample, and files that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from espdl import EspdlError
from espdl.audio import read_wav
from tests.audio.conftest import wav_bytes


def test_int16_is_read_as_it_is() -> None:
    wav = read_wav(wav_bytes(struct.pack("<4h", 0, 1, -32768, 32767)))
    assert (wav.data[:, 0] == [0, 1, -32768, 32767]).all() and wav.data.dtype == np.int16
    assert (wav.sample_rate, wav.channels, wav.bits, len(wav), wav.chip_reads) == (16000, 1, 16, 4, True)
    assert wav.mono().tolist() == [0, 1 / 32768, -1, 32767 / 32768]


@pytest.mark.parametrize(
    ("body", "code", "bits", "expected"),
    [
        (bytes([0, 128, 192, 255]), 1, 8, [-1, 0, 0.5, 127 / 128]),
        (b"\x00\x00\x80" + b"\x01\x00\x00" + b"\xff\xff\x7f" + b"\x00\x00\xc0", 1, 24, [-1, 2**-23, 1 - 2**-23, -0.5]),
        (struct.pack("<3i", -(2**31), 2**30, 0), 1, 32, [-1, 0.5, 0]),
        (struct.pack("<2f", 0.25, -1.5), 3, 32, [0.25, -1.5]),
        (struct.pack("<2d", 0.25, -1.5), 3, 64, [0.25, -1.5]),
    ],
)
def test_other_samples_have_the_same_scale(body: bytes, code: int, bits: int, expected: list[float]) -> None:
    wav = read_wav(wav_bytes(body, code=code, bits=bits))
    assert wav.mono().tolist() == pytest.approx(expected, abs=0)
    assert wav.mono().dtype == np.float32 and not wav.chip_reads


def test_channels_are_told_apart() -> None:
    wav = read_wav(wav_bytes(struct.pack("<6h", 1000, -3000, 2000, 4000, 0, 0), channels=2))
    assert len(wav) == 3 and wav.channels == 2 and not wav.chip_reads
    assert (wav.mono() * 32768).tolist() == [-1000, 3000, 0]
    assert (wav.mono(1) * 32768).tolist() == [-3000, 4000, 0]
    with pytest.raises(EspdlError, match="no channel 2"):
        wav.mono(2)


def test_other_chunks_are_passed_with_their_padding() -> None:
    extra = struct.pack("<4sI", b"LIST", 3) + b"abc\0"
    assert read_wav(wav_bytes(struct.pack("<2h", 5, 6), extra=extra)).data[:, 0].tolist() == [5, 6]


def test_the_extensible_format_names_its_code_inside() -> None:
    layout = struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4, 1) + bytes(14)
    chunks = struct.pack("<4sI", b"fmt ", len(layout)) + layout + struct.pack("<4sIh", b"data", 2, 77)
    wav = read_wav(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    assert wav.data.tolist() == [[77]] and wav.sample_rate == 8000 and not wav.chip_reads


def test_no_samples_are_no_error() -> None:
    assert len(read_wav(wav_bytes(b""))) == 0


def test_a_file_cut_anywhere_is_an_error_or_whole(tmp_path: Path) -> None:
    whole = wav_bytes(struct.pack("<3h", 1, 2, 3))
    for size in range(len(whole)):
        with pytest.raises(EspdlError):
            read_wav(whole[:size])
    path = tmp_path / "x.wav"
    path.write_bytes(whole[:-1])
    with pytest.raises(EspdlError, match=r"x\.wav: .*cut short.*\n?.*6 bytes, 5"):
        read_wav(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ID3" + bytes(40), "not a WAV file"),
        (wav_bytes(b"12", code=6, bits=8), "format code 6"),
        (wav_bytes(b"12", bits=12), "12 bits"),
        (wav_bytes(b"12", channels=0), "makes no sense"),
        (wav_bytes(b"12", rate=0), "makes no sense"),
        (b"RIFF\0\0\0\0WAVEdata" + bytes(6), "before their format"),
    ],
)
def test_what_is_not_read_says_why(content: bytes, message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        read_wav(content)
