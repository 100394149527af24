"""``espdl features``."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espdl.audio import MFCC
from tests.audio.conftest import wav_bytes
from tests.cli.conftest import Command


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "in.wav"
    samples = np.random.default_rng(1).integers(-9000, 9000, 4000).astype("<i2")
    path.write_bytes(wav_bytes(samples.tobytes(), rate=8000))
    return path


def test_files_are_written(wav: Path, tmp_path: Path, espdl: Command) -> None:
    out, plot = tmp_path / "new" / "mfcc.npy", tmp_path / "mfcc.png"
    found = espdl(
        "features", wav, "--type", "mfcc", "--num-ceps", 9, "--energy", "--high-freq", 3900, "-o", out, "--plot", plot, "--json"
    )
    samples = np.frombuffer(wav.read_bytes()[44:], "<i2")
    expected = MFCC(sample_rate=8000, num_ceps=9, use_energy=True, high_freq=3900).process(samples)
    assert np.load(out).tobytes() == expected.tobytes()
    assert Image.open(plot).size == (1060, 408)
    assert found.json["frames"] == 48 and found.json["dim"] == 10 and found.json["chip_reads"] is True


@pytest.mark.parametrize("kind", ["fbank", "mfcc", "spectrogram"])
def test_text(wav: Path, espdl: Command, kind: str) -> None:
    result = espdl("features", wav, "--type", kind)
    assert result.code == 0 and kind in result.out and "0.50 s at 8000 Hz, 16 bits, 1 channel" in result.out


def test_what_a_chip_would_not_take_is_said(tmp_path: Path, espdl: Command) -> None:
    stereo = tmp_path / "stereo.wav"
    stereo.write_bytes(wav_bytes(struct.pack("<2000f", *[0.1] * 2000), code=3, bits=32, channels=2))
    result = espdl("features", stereo, "--channel", "1")
    assert result.code == 0 and "on the chip" in result.out and "2 channels" in result.out


def test_failures(wav: Path, tmp_path: Path, espdl: Command) -> None:
    assert "high_freq" in espdl("features", wav, "--high-freq", 7000).err
    assert "cannot be written" in espdl("features", wav, "-o", wav).err
    empty = tmp_path / "empty.wav"
    empty.write_bytes(wav_bytes(b""))
    result = espdl("features", empty)
    assert result.code == 1 and "0 samples" in result.err
    assert espdl("features", wav, "--type", "chroma").code == 2
