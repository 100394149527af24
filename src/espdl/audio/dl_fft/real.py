"""Transforms in single precision (runtime spec 9.2).

The steps are those of dl_fft, each rounded to binary32. A chip may fuse a product with a sum, so its last bit may differ.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.audio.dl_fft.order import log2_of, reversed_digits
from espdl.errors import EspdlError

Parts = tuple[NDArray[np.float32], NDArray[np.float32]]


def fft_f32(values: ArrayLike) -> NDArray[np.float32]:
    """Forward transform, unscaled: float32 [..., N, 2] to the same shape, by steps of two points (radix 2)."""
    real, imaginary = _parts(values)
    return np.stack(_radix2(real, imaginary), axis=-1)


def ifft_f32(values: ArrayLike) -> NDArray[np.float32]:
    """Inverse transform, scaled by 1/N: float32 [..., N, 2] to the same shape."""
    real, imaginary = _parts(values)
    swapped_imaginary, swapped_real = _radix2(imaginary, real)  # the inverse is the forward transform of swapped parts
    return np.stack((swapped_real, swapped_imaginary), axis=-1) * np.float32(1 / real.shape[-1])


def rfft_packed_f32(values: ArrayLike) -> NDArray[np.float32]:
    """Transform of real values [..., N] in dl_fft's packing [..., N]: Re of bin 0, Re of bin N/2, then Re and Im of bins 1 to N/2 - 1."""
    spectrum = rfft_f32(values)
    packed = spectrum[..., :-1, :].copy()
    packed[..., 0, 1] = spectrum[..., -1, 0]
    return packed.reshape(*spectrum.shape[:-2], -1)


def rfft_f32(values: ArrayLike) -> NDArray[np.float32]:
    """Transform of real values: float32 [..., N] to [..., N/2 + 1, 2], unscaled.

    It goes through a complex transform of N/2 points, by steps of four points where log2 N is odd and of two where it is even.

    Raises:
        EspdlError: when N is no power of two of at least 4.
    """
    array = np.asarray(values, np.float32)
    points = array.shape[-1] if array.ndim else 0
    odd = log2_of(points, 4) & 1
    pairs = array.reshape(*array.shape[:-1], points // 2, 2)
    real, imaginary = (_radix4 if odd else _radix2)(pairs[..., 0], pairs[..., 1])
    half = points // 2
    result = np.empty((*array.shape[:-1], half + 1, 2), np.float32)
    result[..., 0, 0], result[..., half, 0] = real[..., 0] + imaginary[..., 0], real[..., 0] - imaginary[..., 0]
    result[..., 0, 1] = result[..., half, 1] = 0
    there, back = np.arange(1, half // 2 + 1), half - np.arange(1, half // 2 + 1)
    sum_r, sum_i = real[..., there] + real[..., back], imaginary[..., there] - imaginary[..., back]
    difference_r, difference_i = real[..., there] - real[..., back], imaginary[..., there] + imaginary[..., back]
    cosine, sine = _turn(points)[:, there]
    turned_r, turned_i = difference_i * cosine - difference_r * sine, -(difference_r * cosine + difference_i * sine)
    single = np.float32(0.5)
    result[..., back, 0], result[..., back, 1] = single * (sum_r - turned_r), single * (turned_i - sum_i)
    result[..., there, 0], result[..., there, 1] = single * (sum_r + turned_r), single * (sum_i + turned_i)
    return result


def irfft_packed_f32(values: ArrayLike) -> NDArray[np.float32]:
    """The inverse of :func:`rfft_packed_f32`: float32 [..., N] to [..., N], scaled by 2/N of the transform of N/2 points."""
    packed = np.asarray(values, np.float32)
    points = packed.shape[-1] if packed.ndim else 0
    log2_of(points, 4)
    half = points // 2
    pairs = packed.reshape(*packed.shape[:-1], half, 2)
    real, imaginary = pairs[..., 0].copy(), pairs[..., 1].copy()
    zero, nyquist = real[..., 0].copy(), imaginary[..., 0].copy()
    single = np.float32(0.5)
    there, back = np.arange(1, half // 2 + 1), half - np.arange(1, half // 2 + 1)
    sum_r, sum_i = real[..., there] + real[..., back], imaginary[..., there] - imaginary[..., back]
    difference_r, difference_i = real[..., there] - real[..., back], imaginary[..., there] + imaginary[..., back]
    cosine, sine = _turn(points)[:, there]
    turned_r, turned_i = -(difference_r * sine + difference_i * cosine), difference_r * cosine - difference_i * sine
    real[..., back], imaginary[..., back] = single * (sum_r - turned_r), single * (turned_i - sum_i)
    real[..., there], imaginary[..., there] = single * (sum_r + turned_r), single * (sum_i + turned_i)
    real[..., 0], imaginary[..., 0] = single * (zero + nyquist), single * (zero - nyquist)
    return ifft_f32(np.stack((real, imaginary), axis=-1)).reshape(packed.shape)


def _parts(values: ArrayLike) -> Parts:
    array = np.asarray(values, np.float32)
    if array.ndim < 2 or array.shape[-1] != 2:
        raise EspdlError("complex data are arrays [..., N, 2]", why=f"this one has shape {list(array.shape)}")
    log2_of(array.shape[-2], 2)
    return array[..., 0], array[..., 1]


@cache
def _turn(points: int) -> NDArray[np.float32]:
    """Cosines and sines of i * 2 pi / points, float32 [2, points]: angles and functions in single precision, as the chip's table."""
    angles = (np.arange(points) * (2 * np.pi / points)).astype(np.float32)
    table = np.stack((np.cos(angles), np.sin(angles)))
    table.flags.writeable = False
    return table


def _radix2(real: NDArray[np.float32], imaginary: NDArray[np.float32]) -> Parts:
    """In every step, block j turns its second half by the bit-reversed angle j and meets its first half."""
    shape, points = real.shape, real.shape[-1]
    blocks = 1
    while blocks < points:
        order = reversed_digits(blocks, 1) * (points // (2 * blocks))
        cosine, sine = _turn(points)[:, order, np.newaxis]
        halves_r, halves_i = (part.reshape(*shape[:-1], blocks, 2, -1) for part in (real, imaginary))
        a_r, a_i, b_r, b_i = halves_r[..., 0, :], halves_i[..., 0, :], halves_r[..., 1, :], halves_i[..., 1, :]
        turned_r, turned_i = cosine * b_r + sine * b_i, cosine * b_i - sine * b_r
        real = np.stack((a_r + turned_r, a_r - turned_r), axis=-2)
        imaginary = np.stack((a_i + turned_i, a_i - turned_i), axis=-2)
        blocks *= 2
    order = reversed_digits(points, 1)
    return real.reshape(shape)[..., order], imaginary.reshape(shape)[..., order]


def _radix4(real: NDArray[np.float32], imaginary: NDArray[np.float32]) -> Parts:
    """In every step, the four quarters of a block meet; those that go on as quarters 1, 2 and 3 are turned by k, 2k and 3k."""
    shape, points = real.shape, real.shape[-1]
    blocks = 1
    while blocks < points:
        quarters_r, quarters_i = (np.moveaxis(part.reshape(*shape[:-1], blocks, 4, -1), -2, 0) for part in (real, imaginary))
        a_r, b_r, c_r, d_r = quarters_r
        a_i, b_i, c_i, d_i = quarters_i
        even_r, even_i, odd_r, odd_i = a_r + c_r, a_i + c_i, b_r + d_r, b_i + d_i
        across_r, across_i, over_r, over_i = a_r - c_r, a_i - c_i, b_r - d_r, b_i - d_i
        met = (
            (across_r + over_i, across_i - over_r),
            (even_r - odd_r, even_i - odd_i),
            (across_r - over_i, across_i + over_r),
        )
        step, length = blocks, points // (4 * blocks)
        parts_r, parts_i = [even_r + odd_r], [even_i + odd_i]
        for times, (m_r, m_i) in enumerate(met, 1):
            cosine, sine = _turn(points)[:, np.arange(length) * step * times]
            parts_r.append(m_r * cosine + m_i * sine)
            parts_i.append(m_i * cosine - m_r * sine)
        real, imaginary = np.stack(parts_r, axis=-2), np.stack(parts_i, axis=-2)
        blocks *= 4
    order = reversed_digits(points, 2)
    return real.reshape(shape)[..., order], imaginary.reshape(shape)[..., order]
