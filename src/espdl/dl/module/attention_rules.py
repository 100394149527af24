"""Softmax-weighted sums as the integer kernels of Attention compute them, 64 keys at a time (quantizer spec 10.5).

Every binary32 value is rounded where the kernels round it, so that results are equal in every bit. Queries are [..., Lq, D], keys and
values [..., Lk, D]; a mask is [..., Lq, Lk], ``-inf`` where a key does not count.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from espdl.rounding import Rounding, quantize, round_float, shift_and_round

TILE = 64
"""Keys between two looks at the running maximum."""

_STEPS_PER_UNIT = 64
_UNITS = 16
_ENTRIES = _STEPS_PER_UNIT * _UNITS + 1
_PRECISE_ENTRIES = 33 * _STEPS_PER_UNIT + 1
_EXP8_ENTRIES = 512
_LARGEST_EXP8_SHIFT = 21
_LARGEST_MASK = np.float32(1 << 28)
_FRACTION_BITS = 29
_NO_MAXIMUM = -(1 << 31)
_F32 = np.float32


@cache
def exponentials() -> NDArray[np.float32]:
    """``exp(-i / 64)`` for i from 0 to 1024, rounded to binary32."""
    return np.exp(-np.arange(_ENTRIES) / _STEPS_PER_UNIT).astype(_F32)


@cache
def _precise_exponentials() -> NDArray[np.float32]:
    """:func:`exponentials` continued to 32: products of two entries, then zeros."""
    table = np.zeros(_PRECISE_ENTRIES, _F32)
    first = exponentials()
    table[:_ENTRIES] = first
    table[_ENTRIES : 2 * _ENTRIES - 2] = first[1:-1] * first[-1]
    return table


def exp_interpolated(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``exp(x)`` for x of at most 0, on the lines between the entries; the last entry from -16 on."""
    table = exponentials().astype(np.float64)
    position = np.minimum(np.maximum(-x, _F32(0)) * _F32(_STEPS_PER_UNIT), _F32(_ENTRIES - 1))
    index = np.minimum(position.astype(np.int64), _ENTRIES - 2)
    # one rounding, as a fused multiply-add makes it
    return np.asarray(table[index] + (table[index + 1] - table[index]) * (position - index.astype(_F32))).astype(_F32)


def exp_corrected(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``exp(x)`` for x of at most 0: an entry times a cubic in the rest; 0 from -32 on. NaN gives 0."""
    distance = np.minimum(np.nan_to_num(-x, nan=np.inf), _F32(2 * _UNITS))
    index = np.minimum((distance * _F32(_STEPS_PER_UNIT)).astype(np.int64), _PRECISE_ENTRIES - 1)
    rest = distance - index.astype(_F32) * _F32(1 / _STEPS_PER_UNIT)
    one = _F32(1)
    cubic = one - rest * (one - rest * (_F32(0.5) - rest * _F32(1 / 6)))
    result = _precise_exponentials()[index] * cubic
    return np.where(distance <= 0, one, np.where(distance >= _F32(2 * _UNITS), _F32(0), result))


@cache
def exp8_table(logit: np.float32) -> tuple[NDArray[np.int8], int]:
    """The 512 exponentials of the 8-bit kernel, 127 for 1, and by how many bits a difference of products is shifted to its index."""
    share = _F32(np.float64(16 / 255) / np.float64(logit))
    shift = 0
    while shift < _LARGEST_EXP8_SHIFT and _F32(2 << shift) <= share:
        shift += 1
    step = _F32(1 << shift) * logit
    values = exp_interpolated(-(np.arange(_EXP8_ENTRIES, dtype=_F32) * step))
    return (_F32(127) * values + _F32(0.5)).astype(np.int32).clip(0, 127).astype(np.int8), shift


def attend8(
    q: NDArray[np.int8],
    k: NDArray[np.int8],
    v: NDArray[np.int8],
    mask: NDArray[np.float32] | None,
    logit: np.float32,
    scales: tuple[np.float32, np.float32],
    rounding: Rounding,
) -> NDArray[np.integer]:
    """8-bit attention, int8.

    Args:
        logit: what one unit of ``q @ k`` is worth in the exponent.
        scales: of ``v`` and of the result.
        rounding: of the chip.
    """
    table, shift = exp8_table(logit)
    to_products = _F32(1) / logit
    rows = np.broadcast_shapes(q.shape[:-2], k.shape[:-2]) + q.shape[-2:-1]
    maximum = np.full(rows, _NO_MAXIMUM, np.int64)
    total = np.zeros(rows, _F32)
    sums = np.zeros((*rows, v.shape[-1]), np.int64)
    # products of int8 add up to less than 2**24: exact in binary32
    left = q.astype(_F32)
    for start in range(0, k.shape[-2], TILE):
        part = slice(start, start + TILE)
        products = (left @ np.swapaxes(k[..., part, :], -1, -2).astype(_F32)).astype(np.int64)
        counts = None
        if mask is not None:
            tile = np.broadcast_to(mask[..., part], products.shape)
            counts = tile != -np.inf
            added = np.where(counts, tile, _F32(0)) * to_products
            products += round_float(added.clip(-_LARGEST_MASK, _LARGEST_MASK), rounding).astype(np.int64)
        seen = products if counts is None else np.where(counts, products, _NO_MAXIMUM)
        larger = np.maximum(maximum, seen.max(axis=-1))
        moves = (maximum != _NO_MAXIMUM) & (larger != maximum)
        factor = np.where(moves, exp_interpolated((maximum - larger).astype(_F32) * logit), _F32(1))
        total *= factor
        sums = np.where(moves[..., None], (sums.astype(_F32) * factor[..., None]).astype(np.int64), sums)
        difference = (larger[..., None] - products).clip(0, (_EXP8_ENTRIES - 1) << shift)
        weights = table[difference >> shift]
        if counts is not None:
            weights = np.where(counts, weights, np.int8(0))
        share = weights.sum(axis=-1, dtype=np.int64).astype(np.float64) * np.float64(_F32(1 / 127))
        total = (total.astype(np.float64) + share).astype(_F32)
        sums += (weights.astype(_F32) @ v[..., part, :].astype(_F32)).astype(np.int64)
        maximum = larger
    inverse = _quotient(scales[0] * _F32(1 / 127), total)
    return quantize(sums.astype(_F32) * inverse[..., None] * (_F32(1) / scales[1]), 0, np.int8, rounding)


def attend16(
    q: NDArray[np.int16],
    k: NDArray[np.int16],
    v: NDArray[np.int16],
    mask: NDArray[np.float32] | None,
    logit: np.float32,
    scales: tuple[np.float32, np.float32],
    rounding: Rounding,
) -> NDArray[np.integer]:
    """16-bit attention, int16; arguments as in :func:`attend8`. Sums of exponentials are made front to back."""
    shift = (q.shape[-1] - 1).bit_length()
    worth = logit * _F32(1 << shift)
    rows = np.broadcast_shapes(q.shape[:-2], k.shape[:-2]) + q.shape[-2:-1]
    maximum = np.full(rows, -np.inf, _F32)
    total = np.zeros(rows, _F32)
    sums = np.zeros((*rows, v.shape[-1]), _F32)
    # products of int16 add up to less than 2**53: exact in binary64
    left = q.astype(np.float64)
    for start in range(0, k.shape[-2], TILE):
        part = slice(start, start + TILE)
        products = (left @ np.swapaxes(k[..., part, :], -1, -2).astype(np.float64)).astype(np.int64)
        scores = shift_and_round(products, shift, rounding).astype(_F32) * worth
        if mask is not None:
            scores = scores + mask[..., part]
        larger = np.maximum(maximum, scores.max(axis=-1))
        moves = np.isfinite(maximum) & (larger != maximum)
        factor = np.where(moves, exp_corrected(maximum - larger), _F32(1))
        total *= factor
        sums *= factor[..., None]
        weights = np.where(np.isneginf(scores), _F32(0), exp_corrected(scores - larger[..., None]))
        total += np.add.accumulate(weights, axis=-1, dtype=_F32)[..., -1]
        fixed = np.trunc(weights * _F32(1 << _FRACTION_BITS)).astype(np.float64)
        summand = (fixed @ v[..., part, :].astype(np.float64)).astype(_F32)
        sums += summand * (scales[0] / _F32(1 << _FRACTION_BITS))
        maximum = larger
    return quantize(sums * _quotient(_F32(1), total)[..., None] * (_F32(1) / scales[1]), 0, np.int16, rounding)


def attend_float(
    q: NDArray[np.float32], k: NDArray[np.float32], v: NDArray[np.float32], mask: NDArray[np.float32] | None, scale: np.float32
) -> NDArray[np.float32]:
    """On real values, computed in binary64 and rounded once; a query that no key counts for gives 0."""
    scores = (q.astype(np.float64) @ np.swapaxes(k, -1, -2).astype(np.float64)) * np.float64(scale)
    if mask is not None:
        scores = scores + mask
    largest = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isneginf(largest), 0.0, largest))
    total = weights.sum(axis=-1, keepdims=True)
    return np.asarray((weights @ v) / np.where(total == 0, 1.0, total)).astype(_F32)


def _quotient(numerator: np.float32, total: NDArray[np.float32]) -> NDArray[np.float32]:
    """``numerator / total``; 0 where nothing was added up."""
    return np.where(total > 0, numerator / np.where(total > 0, total, _F32(1)), _F32(0)).astype(_F32)
