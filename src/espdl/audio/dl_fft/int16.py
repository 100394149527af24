"""Transforms of 16-bit integers (runtime spec 9.2).

Every step halves the data (``s16``), or shifts them by as many bits as their largest value has (``hp``, high precision). Integers go with
an exponent; results are ``(integers, exponent)``. Chips round the shifts of a step differently: see :func:`step_rounding`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.audio.dl_fft.order import log2_of, reversed_digits
from espdl.chips import Chip, get_chip
from espdl.errors import EspdlError
from espdl.rounding import Rounding, saturate, shift_and_round

TWIDDLE_BITS = 14
VECTOR_STAGES = range(3, 11)
"""Numbers of steps that the 128-bit vector units of the first generation take; longer transforms run the C code."""

Result = tuple[NDArray[np.int16], int]
Pair = tuple[NDArray[np.int64], NDArray[np.int64]]


def step_rounding(target: str | Chip, stages: int) -> Rounding | None:
    """How a chip rounds the shifts of each step of a transform with that many steps; None where it cuts off (spec 9.2)."""
    chip = get_chip(target)
    if chip.vector_bytes and chip.rounding is Rounding.HALF_UP and stages in VECTOR_STAGES:
        return None
    return chip.rounding


def fft_s16(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """Forward transform of int16 [..., N, 2]; every step halves, so the exponent grows by log2 N."""
    data = _complex(values)
    stages = log2_of(data.shape[-2])
    rounding = step_rounding(target, stages)
    return _transform(data, False, rounding, rounding)[0], exponent + stages


def ifft_s16(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """Inverse transform of int16 [..., N, 2]: halving every step is the scale 1/N, so the exponent stays.

    The C code cuts products off here, where the forward transform rounds them.
    """
    data = _complex(values)
    rounding = step_rounding(target, log2_of(data.shape[-2]))
    return _transform(data, True, rounding, None)[0], exponent


def fft_s16_hp(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """Forward transform of one int16 [N, 2] in high precision; the exponent grows by what was shifted."""
    data = _single(_complex(values), 2)
    rounding = step_rounding(target, log2_of(data.shape[-2]))
    result, shift = _transform(data, False, rounding, rounding, high_precision=True)
    return result, exponent + shift


def ifft_s16_hp(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """Inverse transform of one int16 [N, 2] in high precision, scale 1/N by the exponent."""
    data = _single(_complex(values), 2)
    stages = log2_of(data.shape[-2])
    rounding = step_rounding(target, stages)
    result, shift = _transform(data, True, rounding, rounding, high_precision=True)
    return result, exponent + shift - stages


def rfft_s16(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """Transform of one int16 [N] of real values, in the packing of ``rfft_packed_f32``."""
    pairs = _pairs(values)
    spectrum, grown = fft_s16(pairs, exponent, target=target)
    return _split(spectrum, grown, target)


def rfft_s16_hp(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """Transform of one int16 [N] of real values in high precision, in the packing of ``rfft_packed_f32``."""
    spectrum, grown = fft_s16_hp(_pairs(values), exponent, target=target)
    return _split(spectrum, grown, target)


def irfft_s16(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """The inverse of :func:`rfft_s16`: one int16 [N] in packing to real values [N]."""
    merged, shifted = _merge(_pairs(values), exponent, target)
    result, grown = ifft_s16(merged, shifted, target=target)
    return result.reshape(-1), grown


def irfft_s16_hp(values: ArrayLike, exponent: int = 0, *, target: str | Chip = "c") -> Result:
    """The inverse of :func:`rfft_s16_hp`: one int16 [N] in packing to real values [N]."""
    merged, shifted = _merge(_pairs(values), exponent, target)
    result, grown = ifft_s16_hp(merged, shifted, target=target)
    return result.reshape(-1), grown


def max_bits(values: NDArray) -> int:
    """``dl_array_max_q``: bits of the largest magnitude with its sign, 1 when all are 0."""
    largest = min(int(np.abs(values.astype(np.int32)).max(initial=0)), 32767)
    return 1 + largest.bit_length() if largest else 1


def float_to_short(values: ArrayLike, out_exponent: int = 15) -> Result:
    """Floats to int16 [N] with an exponent that makes their largest magnitude fit ``2**out_exponent``.

    As on the chip the search for the largest begins at index 1; where element 0 is larger it saturates here (C leaves it open).

    Raises:
        EspdlError: for values that are not finite.
    """
    array = np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise EspdlError("values that are not finite have no integers")
    largest = np.abs(array.reshape(-1)[1:]).max(initial=np.float32(0))
    whole = max(int(np.ceil(largest + np.float32(1e-8))), 1)
    exponent = out_exponent - (whole - 1).bit_length()
    scaled = np.ldexp(array, exponent)
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))  # roundf: ties away from zero
    return saturate(rounded, np.int16).astype(np.int16), -exponent


def short_to_float(values: ArrayLike, exponent: int) -> NDArray[np.float32]:
    """Integers times ``2**exponent``."""
    return np.ldexp(np.asarray(values, np.int16).astype(np.float32), exponent)


@cache
def _twiddles(points: int) -> NDArray[np.int64]:
    """round(2^14 cos) and round(2^14 sin) of i * 2 pi / points, [2, points]."""
    angles = np.arange(points) * (2 * np.pi / points)
    table = np.floor(np.stack((np.cos(angles), np.sin(angles))) * (1 << TWIDDLE_BITS) + 0.5).astype(np.int64)
    table.flags.writeable = False
    return table


def _transform(
    data: NDArray[np.int16],
    inverse: bool,
    of_sums: Rounding | None,
    of_products: Rounding | None,
    *,
    high_precision: bool = False,
) -> tuple[NDArray[np.int16], int]:
    """Decimation in frequency; returns the spectrum and the bits that were shifted out beyond those of the twiddles."""
    shape, points = data.shape, data.shape[-2]
    real, imaginary = data[..., 0].astype(np.int64), data[..., 1].astype(np.int64)
    sign = -1 if inverse else 1
    blocks, total = 1, 0
    while blocks < points:
        shift = max_bits(np.stack((real, imaginary))) if high_precision else TWIDDLE_BITS + 1
        total += shift - TWIDDLE_BITS
        halves_r, halves_i = (part.reshape(*shape[:-2], blocks, 2, -1) for part in (real, imaginary))
        a_r, a_i, b_r, b_i = halves_r[..., 0, :], halves_i[..., 0, :], halves_r[..., 1, :], halves_i[..., 1, :]
        cosine, sine = _twiddles(points)[:, np.arange(points // (2 * blocks)) * blocks]
        difference_r, difference_i = a_r - b_r, a_i - b_i
        parts_r = (
            _shifted((a_r + b_r) << TWIDDLE_BITS, shift, of_sums),
            _shifted(difference_r * cosine + sign * difference_i * sine, shift, of_products),
        )
        parts_i = (
            _shifted((a_i + b_i) << TWIDDLE_BITS, shift, of_sums),
            _shifted(difference_i * cosine - sign * difference_r * sine, shift, of_products),
        )
        real, imaginary = np.stack(parts_r, axis=-2), np.stack(parts_i, axis=-2)
        blocks *= 2
    flat = np.stack((real.reshape(shape[:-1]), imaginary.reshape(shape[:-1])), axis=-1)
    return flat[..., reversed_digits(points, 1), :].astype(np.int16), total


def _shifted(values: NDArray[np.int64], shift: int, rounding: Rounding | None) -> NDArray[np.int64]:
    return values >> shift if rounding is None else shift_and_round(values, shift, rounding)


def _made_room(data: NDArray[np.int16], exponent: int, target: str | Chip) -> tuple[NDArray[np.int64], int]:
    """Chips with a vector unit halve large data before the sums of a real transform; the C code lets them overflow."""
    room = 1 if get_chip(target).vector_bytes and max_bits(data) >= 15 else 0
    return data.astype(np.int64) >> room, exponent + room


def _with_ends(data: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.intp]]:
    """A result that holds the sum and the difference of the first pair, and the bins that belong together, from either end."""
    result = np.empty_like(data)
    result[0] = data[0, 0] + data[0, 1], data[0, 0] - data[0, 1]
    there = np.arange(1, len(data) // 2 + 1)
    return result, there, len(data) - there


def _mirrored(data: NDArray[np.int64], there: NDArray[np.intp], back: NDArray[np.intp]) -> tuple[Pair, Pair]:
    """Sums and differences, real and imaginary, of each bin and the conjugate of the one that belongs to it."""
    (r, i), (other_r, other_i) = data[there].T, data[back].T
    return (r + other_r, i - other_i), (r - other_r, i + other_i)


def _split(spectrum: NDArray[np.int16], exponent: int, target: str | Chip) -> Result:
    """From the transform of pairs [N/2, 2] to that of the real values, packed [N]."""
    data, exponent = _made_room(spectrum, exponent, target)
    result, there, back = _with_ends(data)
    (sum_r, sum_i), (difference_r, difference_i) = _mirrored(data, there, back)
    cosine, sine = _twiddles(2 * len(data))[:, there]
    turned_r = (difference_i * cosine - difference_r * sine) >> TWIDDLE_BITS
    turned_i = (-difference_r * cosine - difference_i * sine) >> TWIDDLE_BITS
    result[there, 0], result[there, 1] = (sum_r + turned_r) >> 1, (sum_i + turned_i) >> 1
    result[back, 0], result[back, 1] = (sum_r - turned_r) >> 1, (turned_i - sum_i) >> 1
    return result.reshape(-1).astype(np.int16), exponent


def _merge(packed: NDArray[np.int16], exponent: int, target: str | Chip) -> Result:
    """From the packed spectrum to twice the transform of pairs, [N/2, 2]; the exponent makes up for the two."""
    data, exponent = _made_room(packed, exponent, target)
    result, there, back = _with_ends(data)
    (sum_r, sum_i), (difference_r, difference_i) = _mirrored(data, there, back)
    cosine, sine = _twiddles(2 * len(data))[:, there]
    turned_r = (-difference_r * sine - difference_i * cosine) >> TWIDDLE_BITS
    turned_i = (difference_r * cosine - difference_i * sine) >> TWIDDLE_BITS
    result[back, 0], result[back, 1] = sum_r - turned_r, turned_i - sum_i
    result[there, 0], result[there, 1] = sum_r + turned_r, sum_i + turned_i
    return result.astype(np.int16), exponent - 1


def _int16(values: ArrayLike) -> NDArray[np.int16]:
    array = np.asarray(values)
    if array.dtype != np.int16:
        raise EspdlError(f"transforms of integers take int16, not {array.dtype}", hint="float_to_short() gives int16")
    return array


def _complex(values: ArrayLike) -> NDArray[np.int16]:
    array = _int16(values)
    if array.ndim < 2 or array.shape[-1] != 2:
        raise EspdlError("complex data are arrays [..., N, 2]", why=f"this one has shape {list(array.shape)}")
    log2_of(array.shape[-2], 2)
    return array


def _pairs(values: ArrayLike) -> NDArray[np.int16]:
    array = _single(_int16(values), 1)
    log2_of(len(array), 4)
    return array.reshape(-1, 2)


def _single(array: NDArray[np.int16], dimensions: int) -> NDArray[np.int16]:
    if array.ndim != dimensions:
        raise EspdlError("one transform at a time: its shifts depend on its values", why=f"the shape is {list(array.shape)}")
    return array
