"""Fbank, MFCC and Spectrogram: against loops in double precision, Kaldi's published numbers, and each other."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from espdl import EspdlError
from espdl.audio import MFCC, Fbank, FeatureStream, MelBank, Spectrogram, SpeechFeature, WindowType, read_wav, window
from tests.audio import oracle

KINDS: dict[str, type[SpeechFeature]] = {"fbank": Fbank, "mfcc": MFCC, "spectrogram": Spectrogram}
SMALL = {"sample_rate": 8000, "frame_length": 8, "frame_shift": 5, "num_mel_bins": 8, "num_ceps": 6, "low_freq": 20}

VARIANTS = [
    {},
    {"use_energy": True},
    {"use_energy": True, "raw_energy": False},
    {"use_log_fbank": 0},
    {"use_log_fbank": 2, "log_epsilon": 0.5},
    {"use_power": False},
    {"preemphasis": 0},
    {"remove_dc_offset": False, "high_freq": 3500},
    {"cepstral_lifter": 0},
    {"log_epsilon": 0.01},
    {"frame_length": 10, "frame_shift": 13},
    *({"window_type": kind} for kind in WindowType),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_field_does_what_its_definition_says(kind: str, changes: dict, sound: NDArray[np.int16]) -> None:
    feature = KINDS[kind](**{**SMALL, **changes})
    samples = sound[8000:8400]
    expected = oracle.features(samples / 32768, feature.config, kind)
    got = feature.process(samples)
    assert got.dtype == np.float32 and got.shape == expected.shape == (feature.frames(400), feature.dim)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_kaldi_agrees(kind: str, conformance: Path, record_property) -> None:
    samples = read_wav(conformance / "audio/test.wav").mono()
    with np.load(conformance / f"audio/{kind}.npz") as cases:
        for position, case in enumerate(json.loads(str(cases["config"]))):
            shape = case.pop("frames"), case.pop("dim")
            fields = {name.removesuffix("_ms"): value for name, value in case.items()}
            got = KINDS[kind](**fields).process(samples)
            error = np.abs(got - cases[f"case{position}"])
            assert got.shape == shape
            assert error.max() < 1e-3 and error.mean() < 1e-4  # published acceptance: 1e-2 and 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_transform_of_the_chip_changes_the_last_bits_only(kind: str, sound: NDArray[np.int16]) -> None:
    a, b = KINDS[kind]().process(sound), KINDS[kind](chip_fft=True).process(sound)
    assert not np.array_equal(a, b) and np.abs(a - b).max() < 2e-3


@pytest.mark.parametrize("kind", KINDS)
@given(cuts=st.lists(st.integers(0, 900), max_size=6), shift=st.sampled_from([3, 8, 13]))
def test_a_stream_gives_the_same_bits(kind: str, sound: NDArray[np.int16], cuts: list[int], shift: int) -> None:
    feature = KINDS[kind](**{**SMALL, "frame_shift": shift, "use_energy": True})
    stream = FeatureStream(feature)
    ends = [0, *sorted(cuts), 900]
    parts = [stream.push(sound[a:b]) for a, b in itertools.pairwise(ends)]
    assert np.concatenate(parts).tobytes() == feature.process(sound[:900]).tobytes()


def test_frames_do_not_depend_on_how_many_there_are(sound: NDArray[np.int16]) -> None:
    long = np.resize(sound, 50000)
    feature = Fbank(num_mel_bins=40, use_energy=True)
    whole = feature.process(long)
    one_by_one = [feature.process(long[start : start + 400]) for start in range(0, len(long) - 399, 160)]
    assert whole.tobytes() == np.concatenate(one_by_one).tobytes()


def test_a_stream_can_begin_anew_and_survives_bad_samples(sound: NDArray[np.int16]) -> None:
    feature = Fbank()
    stream = FeatureStream(feature)
    assert stream.push(sound[:300]).shape == (0, 26) and stream.pending == 300
    with pytest.raises(EspdlError, match=r"sample 1.*not finite"):
        stream.push(np.array([0, np.nan]))
    assert stream.push(sound[300:400]).tobytes() == feature.process(sound[:400]).tobytes()
    stream.reset()
    assert stream.pending == 0 and stream.push(sound[:400]).tobytes() == feature.process(sound[:400]).tobytes()


def test_int16_and_floats_of_full_scale_one_are_the_same(sound: NDArray[np.int16]) -> None:
    assert Fbank().process(sound).tobytes() == Fbank().process(sound / 32768).tobytes()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.empty(0, np.int16), "shorter than a frame.*0 samples"),
        (np.zeros(399, np.int16), "399 samples, a frame has 400"),
        (np.zeros((500, 2), np.int16), "one channel"),
        (np.zeros(500, np.int32), "int32 have no known scale"),
        (np.array([0.0] * 450 + [np.inf] * 50), "sample 450.*not finite"),
        (np.full(500, 1e300), "sample 0"),
    ],
)
def test_samples_that_have_no_features_say_why(samples: NDArray, message: str) -> None:
    with pytest.raises(EspdlError, match=f"(?s){message}"):
        Fbank().process(samples)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preemphasis": 1}, "preemphasis"),
        ({"frame_length": 0.4}, "frame_length"),
        ({"frame_shift": 0}, "frame_shift"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"frame_length": 5000}, "frame_length"),
        ({"low_freq": 9000}, "low_freq"),
        ({"high_freq": 8001}, "high_freq"),
        ({"use_log_fbank": 3}, "use_log_fbank"),
        ({"log_epsilon": float("nan")}, "log_epsilon"),
        ({"window_type": "kaiser"}, "kaiser"),
        ({"num_mel_bins": "many"}, "num_mel_bins"),
        ({"dither": 1}, "dither"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        Fbank(**fields)


def test_limits_of_mfcc() -> None:
    with pytest.raises(EspdlError, match="14 coefficients"):
        MFCC(num_ceps=14, num_mel_bins=13)
    with pytest.raises(EspdlError, match="do not fit beside"):
        MFCC(num_mel_bins=256)
    assert MFCC(num_mel_bins=255).dim == 13


def test_fractions_of_milliseconds_and_hertz_are_cut_off() -> None:
    config = Fbank(frame_length=25.9, frame_shift=10.9, low_freq=80.7).config
    assert (config.frame_length, config.frame_shift, config.mel_range) == (25, 10, (80, 8000))
    assert Fbank(sample_rate=11025).config.window_size == 275


def test_the_option_without_effect_says_so() -> None:
    with pytest.warns(UserWarning, match="use_int16_fft has no effect"):
        Fbank(use_int16_fft=True)


def test_kinds_force_what_they_need() -> None:
    for kind in (MFCC, Spectrogram):
        config = kind(use_power=False, use_log_fbank=0).config
        assert config.use_power and config.use_log_fbank == 1


def test_windows_by_hand() -> None:
    assert window("hanning", 5).tolist() == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-7)
    assert window("hann", 4).tolist() == pytest.approx([0, 0.5, 1, 0.5], abs=1e-7)
    assert window("hamming", 3).tolist() == pytest.approx([0.08, 1, 0.08], abs=1e-7)
    assert window("sine", 3).tolist() == pytest.approx([0, 1, 0], abs=1e-7)
    assert window("blackman", 3).tolist() == pytest.approx([0, 1, 0], abs=1e-7)
    assert window("rectangular", 2).tolist() == [1, 1] and window("none", 2) is None


def test_a_bank_by_hand() -> None:
    bank = MelBank.make(
        filters=2, bins=5, sample_rate=8000, low=0, high=4000
    )  # edges at 0, 461, 1226 and 2502... on the mel scale
    assert bank.weights[:, 0].tolist() == [0, 0]
    edges = np.linspace(0, oracle.mel(4000), 4)
    for filter_, (left, centre, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for k in range(1, 5):
            m = oracle.mel(k * 1000)
            assert bank.weights[filter_, k] == pytest.approx(
                max(0, min((m - left) / (centre - left), (right - m) / (right - centre))), abs=1e-5
            )
    ones = np.ones((5, 3), np.float32)
    np.testing.assert_allclose(bank.energies(ones), bank.weights.sum(axis=1, keepdims=True).repeat(3, axis=1), rtol=1e-6)


def test_filters_narrower_than_a_bin_give_the_floor() -> None:
    feature = Fbank(num_mel_bins=200, low_freq=0)
    empty = np.flatnonzero(feature.bank.length == 0)
    assert empty.size
    got = feature.process(np.random.default_rng(0).standard_normal(800))
    np.testing.assert_allclose(got[:, empty], np.log(np.float32(feature.config.log_epsilon)), rtol=1e-6)


def test_a_filter_beyond_the_last_bin_warns_and_ends_with_it() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        banks = [
            MelBank.make(filters, bins, rate, low, rate // 2)
            for filters in range(10, 81, 5)
            for bins, rate in ((257, 16000), (129, 8000), (513, 44100))
            for low in (0, 20, 64, 80)
        ]
    beyond = [bank for bank in banks if bank.unterminated]
    assert len(caught) == len(beyond)
    for bank in beyond:
        assert bank.unterminated == (len(bank.length) - 1,) and bank.start[-1] + bank.length[-1] == bank.weights.shape[1]
