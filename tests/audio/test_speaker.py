"""SpeakerVerification on real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl import EspdlError
from espdl.audio import SpeakerVerification, Wav, read_wav
from espdl.audio.speaker import similarity
from espdl.rounding import quantize


@pytest.fixture(scope="module")
def verifier(conformance: Path) -> SpeakerVerification:
    return SpeakerVerification(conformance / "models/esp32p4/sv_tdnn_tiny_3s.espdl")


def test_what_is_fed_and_what_comes_out(verifier: SpeakerVerification, conformance: Path) -> None:
    recording = conformance / "audio/audio_a.wav"
    with np.load(conformance / "golden/p4_sv_tdnn_tiny_3s_audio.npz") as golden:
        expected_in, expected_out = golden["in:input"], golden["out:embedding"]
    fed = quantize(verifier.features(recording), -11, np.int16, verifier.model.chip.rounding)
    assert np.abs(fed.astype(int) - expected_in[0]).max() <= 1 and (fed != expected_in[0]).mean() < 0.02
    assert np.abs(verifier.embed(recording) * 16 - expected_out[0]).max() <= 1
    assert (verifier.model.run_arrays({"input": expected_in})["embedding"] == expected_out).all()


def test_one_speaker_is_told_from_another(verifier: SpeakerVerification, conformance: Path) -> None:
    a, b, c = (conformance / f"audio/audio_{name}.wav" for name in "abc")
    same, other = verifier.verify(a, b), verifier.verify(a, c)
    assert same.same and not other.same  # a chip printed 0.73 and 0.04 (3 or 6 s model, not stated)
    assert same.similarity == pytest.approx(0.73, abs=0.1) and other.similarity == pytest.approx(0.04, abs=0.1)
    assert same.to_dict() == {"similarity": same.similarity, "threshold": 0.25, "same": True}


def test_the_middle_is_taken_and_short_ones_are_filled(verifier: SpeakerVerification, conformance: Path) -> None:
    samples = read_wav(conformance / "audio/audio_a.wav").data[:, 0]
    wanted = 299 * 160 + 400
    first = (len(samples) - wanted) // 2
    middle = samples[first : first + wanted]
    assert np.array_equal(verifier.features(samples), verifier.features(middle))
    assert np.array_equal(verifier.features(middle[:100]), verifier.features(np.pad(middle[:100], (0, wanted - 100))))
    assert verifier.features(middle[:1]).shape == (300, 80)


def test_errors(verifier: SpeakerVerification, conformance: Path) -> None:
    with pytest.raises(EspdlError, match="8000 samples a second"):
        verifier.embed(Wav(np.zeros((9000, 1), np.int16), 8000, 16, True))
    with pytest.raises(EspdlError, match="no samples"):
        verifier.embed(np.empty(0, np.int16))
    with pytest.raises(EspdlError, match="no model of speakers"):
        SpeakerVerification(conformance / "models/esp32p4/sin_model.espdl", target="esp32p4")


def test_similarity_by_hand() -> None:
    assert similarity([3, 4], [6, 8]) == pytest.approx(1)
    assert similarity([1, 0], [0, 2]) == 0 and similarity([0, 0], [1, 1]) == 0
    with pytest.raises(EspdlError, match="different lengths"):
        similarity([1], [1, 2])
