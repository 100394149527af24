"""dl_fft: against the discrete Fourier transform, its integers against loops over its rules, its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from espdl import EspdlError
from espdl.audio import dl_fft
from espdl.audio.dl_fft.int16 import step_rounding
from espdl.rounding import Rounding

LENGTHS = (4, 8, 64, 256, 512)
CHIPS = ("c", "esp32s3", "esp32p4")


def complex_of(values: NDArray, exponent: int = 0) -> NDArray:
    return (values[..., 0].astype(float) + 1j * values[..., 1]) * 2.0**exponent


def unpacked(packed: NDArray, exponent: int = 0) -> NDArray:
    """dl_fft's packing of a real transform as complex numbers."""
    inner = packed[2::2].astype(float) + 1j * packed[3::2]
    return np.concatenate(([packed[0]], inner, [packed[1]])) * 2.0**exponent


def integers(points: int, largest: int = 16000) -> NDArray[np.int16]:
    return np.random.default_rng(points).integers(-largest, largest, (points, 2)).astype(np.int16)


def snr(expected: NDArray, got: NDArray) -> float:
    return 10 * math.log10((np.abs(expected) ** 2).sum() / max((np.abs(expected - got) ** 2).sum(), 1e-30))


@pytest.mark.parametrize("points", LENGTHS)
def test_floats_are_the_fourier_transform(points: int) -> None:
    z = np.random.default_rng(0).standard_normal((3, points, 2)).astype(np.float32)
    np.testing.assert_allclose(complex_of(dl_fft.fft_f32(z)), np.fft.fft(complex_of(z)), atol=1e-6 * points)
    np.testing.assert_allclose(complex_of(dl_fft.ifft_f32(z)), np.fft.ifft(complex_of(z)), atol=1e-6)
    x = z[..., 0]
    np.testing.assert_allclose(complex_of(dl_fft.rfft_f32(x)), np.fft.rfft(x), atol=1e-6 * points)
    np.testing.assert_allclose(dl_fft.irfft_packed_f32(dl_fft.rfft_packed_f32(x)), x, atol=2e-6)


def test_the_packing_of_a_real_transform() -> None:
    packed = dl_fft.rfft_packed_f32([1, 2, 3, 4])
    assert packed.tolist() == pytest.approx([10, -2, -2, 2], abs=1e-6)


def by_loops(values: NDArray[np.int16], high_precision: bool, inverse: bool) -> tuple[list[tuple[int, int]], int]:
    """Radix 2, decimation in frequency, in the words of the specification, rounding half up as the C code."""
    data = [(int(re), int(im)) for re, im in values]
    n, half, total = len(data), len(data) // 2, 0
    while half:
        largest = max(max(abs(re), abs(im)) for re, im in data)
        shift = (1 if largest == 0 else 2 + int(math.log2(largest))) if high_precision else 15
        total += shift - 14
        rounding = 1 << (shift - 1)
        of_products = 0 if inverse and not high_precision else rounding
        for start in range(0, n, 2 * half):
            for k in range(half):
                (ar, ai), (br, bi) = data[start + k], data[start + half + k]
                angle = 2 * math.pi * k * (n // (2 * half)) / n
                c, s = (math.floor(2**14 * f(angle) + 0.5) for f in (math.cos, math.sin))
                s = -s if inverse else s
                dr, di = ar - br, ai - bi
                data[start + k] = (((ar + br) << 14) + rounding) >> shift, (((ai + bi) << 14) + rounding) >> shift
                data[start + half + k] = (dr * c + di * s + of_products) >> shift, (di * c - dr * s + of_products) >> shift
        half //= 2
    bits = n.bit_length() - 1
    return [data[int(f"{i:0{bits}b}"[::-1], 2)] for i in range(n)], total


@pytest.mark.parametrize("points", [4, 16, 64])
@pytest.mark.parametrize("largest", [3, 900, 16000])
def test_integers_follow_the_rules_of_the_c_code(points: int, largest: int) -> None:
    data, log2 = integers(points, largest), points.bit_length() - 1
    for got, (expected, shift) in (
        (dl_fft.fft_s16(data, -15), (by_loops(data, False, False)[0], log2)),
        (dl_fft.ifft_s16(data, -15), (by_loops(data, False, True)[0], 0)),
        (dl_fft.fft_s16_hp(data, -15), by_loops(data, True, False)),
    ):
        assert got[0].tolist() == [list(pair) for pair in expected] and got[0].dtype == np.int16
        assert got[1] == -15 + shift
    expected, shift = by_loops(data, True, True)
    got = dl_fft.ifft_s16_hp(data, -15)
    assert got[0].tolist() == [list(pair) for pair in expected] and got[1] == -15 + shift - log2


@pytest.mark.parametrize("target", CHIPS)
@pytest.mark.parametrize("points", LENGTHS)
def test_integers_are_near_the_fourier_transform(points: int, target: str) -> None:
    data = integers(points)
    z = complex_of(data)
    for function, expected, least in (
        (dl_fft.fft_s16, np.fft.fft(z), 50),
        (dl_fft.fft_s16_hp, np.fft.fft(z), 60),
        (dl_fft.ifft_s16, np.fft.ifft(z), 50),
        (dl_fft.ifft_s16_hp, np.fft.ifft(z), 60),
    ):
        assert snr(expected, complex_of(*function(data, -3, target=target)) * 8) > least
    x = data.reshape(-1) // 8
    for there, back, least in ((dl_fft.rfft_s16, dl_fft.irfft_s16, 10), (dl_fft.rfft_s16_hp, dl_fft.irfft_s16_hp, 50)):
        spectrum, exponent = there(x, 0, target=target)
        assert snr(np.fft.rfft(x), unpacked(spectrum, exponent)) > least + 10
        again, exponent = back(spectrum, exponent, target=target)
        assert snr(x.astype(float), again * 2.0**exponent) > least


def test_real_integers_by_hand() -> None:
    packed, exponent = dl_fft.rfft_s16(np.array([400, 200, 0, 0], np.int16))
    assert (unpacked(packed, exponent) == [600, 400 - 200j, 200]).all()


def test_chips_round_steps_differently() -> None:
    assert step_rounding("c", 5) is Rounding.HALF_UP and step_rounding("esp32p4", 5) is Rounding.HALF_EVEN
    assert [step_rounding("esp32s3", stages) for stages in (2, 3, 10, 11)] == [Rounding.HALF_UP, None, None, Rounding.HALF_UP]
    ones = np.array([[1, 0], [0, 0]] * 4, np.int16)  # the first step halves 1 + 1 and leaves no tie, the second 1 + 0
    assert [dl_fft.fft_s16(ones, target=target)[0][0, 0] for target in CHIPS] == [1, 0, 0]


def test_bits_and_conversions() -> None:
    assert [dl_fft.max_bits(np.array(values, np.int16)) for values in ([0, 0], [1], [-2, 1], [16384], [-32768])] == [
        1,
        2,
        3,
        16,
        16,
    ]
    data, exponent = dl_fft.float_to_short([0.0, 0.75, -0.5], 15)
    assert data.tolist() == [0, 24576, -16384] and exponent == -15
    data, exponent = dl_fft.float_to_short([0.0, 3.0, -2.5], 15)
    assert data.tolist() == [0, 24576, -20480] and exponent == -13
    assert dl_fft.short_to_float(data, exponent).tolist() == [0, 3, -2.5]
    assert dl_fft.float_to_short([9.0, 0.5], 15)[0].tolist() == [32767, 16384]  # the search begins at index 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dl_fft.fft_s16(np.zeros((6, 2), np.int16)), "6 points"),
        (lambda: dl_fft.fft_f32(np.zeros(8)), r"\[..., N, 2\]"),
        (lambda: dl_fft.rfft_f32(np.zeros(2)), "2 points"),
        (lambda: dl_fft.rfft_s16(np.zeros(8)), "int16, not float64"),
        (lambda: dl_fft.fft_s16_hp(np.zeros((2, 8, 2), np.int16)), "one transform at a time"),
        (lambda: dl_fft.float_to_short([np.nan, 1]), "not finite"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        call()
