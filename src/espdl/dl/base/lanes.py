"""Accumulators that saturate or wrap, exactly: what a chip's vector unit computes where a sum leaves its lane (spec 3.2).

Almost every sum stays inside, and nearly all of them can be proved to: first once per channel from the weights, then per run from the
magnitudes of the products. Only the few sums left are added up one by one in the chip's order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Accumulator, Overflow
from espdl.dl.base.kernels import LaneRule, MacFilter

_EXACT_INT64 = 2.0**53
_STEPS = 1 << 20
_FEW = 64
"""So many sums are added up one by one without looking closer."""
_STRETCH = 32
"""Products in a stretch: few enough to prove something, enough for the matrix product to be fast."""


def lane_limits(accumulator: Accumulator) -> tuple[int, int]:
    """Smallest and largest value of a signed lane."""
    return -(1 << (accumulator.bits - 1)), (1 << (accumulator.bits - 1)) - 1


def wrap(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Two's-complement value of the low ``bits`` bits."""
    if bits >= 64:
        return values
    half = np.int64(1 << (bits - 1))
    return ((values + half) & np.int64((1 << bits) - 1)) - half


@dataclass(frozen=True)
class Escape:
    """Sums of a tile that must be replaced: row of the tile, output channel, and the chip's value, bias included."""

    rows: NDArray[np.intp]
    channels: NDArray[np.intp]
    sums: NDArray[np.int64]


class LaneGuard:
    """Watches the output channels of one :class:`LaneRule` that the weights alone do not prove safe.

    Attributes:
        channels: those output channels; empty when all are proved.
        magnitudes: absolute values of their weights, as the type of the sums; None where only the final sum matters.
    """

    def __init__(self, filter: MacFilter, rule: LaneRule, dtype: np.dtype) -> None:
        self.accumulator = rule.accumulator
        self.low, self.high = lane_limits(rule.accumulator)
        self.filter = filter
        self.weight_sum = weight_sums(filter)
        self.bias = np.zeros(filter.channels, np.int64) if filter.bias is None else filter.bias
        self.bias_magnitude = np.abs(self.bias.astype(np.float64))
        largest = -float(np.iinfo(filter.input_dtype).min)
        served = np.arange(rule.start, rule.stop)
        self.channels = served[self._may_leave(largest, served)]
        self.group_starts = _group_starts(filter, rule.accumulator.every)
        self.magnitudes: NDArray | None = None
        if self.saturates and self.channels.size:
            self.magnitudes = np.abs(filter.weights[..., self.channels].astype(dtype))
        # binary64 compares sums below 2**53 exactly; beyond, whatever comes near an end of the lane is a suspect
        exact = self.high < _EXACT_INT64 and bool((self._bound(largest, self.channels) < _EXACT_INT64).all())
        self.slack = 0.0 if exact else 2.0**20

    @property
    def saturates(self) -> bool:
        return self.accumulator.overflow is Overflow.SATURATE

    def _bound(self, largest_input: float, channels: NDArray[np.intp]) -> NDArray[np.float64]:
        return (self.weight_sum[channels] * largest_input + self.bias_magnitude[channels]) * (1 + 2.0**-40)

    def _may_leave(self, largest_input: float, channels: NDArray[np.intp]) -> NDArray[np.bool_]:
        return self._bound(largest_input, channels) > self.high

    def is_safe(self, largest_input: float) -> bool:
        """Whether inputs of at most that magnitude keep every channel inside."""
        return not self._may_leave(largest_input, self.channels).any()

    def wrapped(self, sums: NDArray) -> Escape:
        """For a wrapping accumulator: the sums [rows, N] without bias that leave it, and their wrapped values."""
        wide = sums[:, self.channels].astype(np.int64) + self.bias[self.channels]
        rows, index = np.nonzero((wide > self.high) | (wide < self.low))
        return Escape(rows, self.channels[index], wrap(wide[rows, index], self.accumulator.bits))

    def saturated(self, values: NDArray, sums: NDArray, magnitudes: NDArray) -> tuple[Escape, int, NDArray[np.intp]]:
        """For a saturating accumulator: every sum that a partial sum may have left the lane for, added up in order.

        The positive products of a sum add up to (magnitude + sum) / 2, the negative ones to (sum - magnitude) / 2; no partial sum
        lies beyond bias plus one of them.

        Args:
            values: patches of the tile, [rows, columns, KH, KW, C].
            sums: without bias, [rows * columns, N].
            magnitudes: sums of the absolute products for ``channels``, [rows * columns, len(channels)].

        Returns:
            the sums, how many differ from the exact ones, and the channels those belong to.
        """
        signed = sums[:, self.channels].astype(np.float64)
        spread = magnitudes.astype(np.float64)
        bias = self.bias[self.channels].astype(np.float64)
        suspect = bias + (signed + spread) / 2 > self.high - self.slack
        suspect |= bias + (signed - spread) / 2 < self.low + self.slack
        if not self.filter.depthwise and np.count_nonzero(suspect) > _FEW:
            self._narrow_down(suspect, values)
        rows, index = np.nonzero(suspect)
        channels = self.channels[index]
        result = np.empty(rows.size, np.int64)
        differs = np.zeros(rows.size, bool)
        step = max(_STEPS // max(int(np.prod(values.shape[2:])), 1), 1)
        for start in range(0, rows.size, step):
            part = slice(start, start + step)
            products = self._products(values, rows[part], channels[part])
            result[part], differs[part] = saturating_sums(products, self.bias[channels[part]], self.accumulator)
        return Escape(rows, channels, result), int(differs.sum()), np.unique(channels[differs])

    def _narrow_down(self, suspect: NDArray[np.bool_], values: NDArray) -> None:
        """Clears the suspects, [rows, len(channels)], that short stretches of their products prove safe: the exact sum before a stretch
        plus the positive, or negative, products within it."""
        assert self.magnitudes is not None
        rows = np.flatnonzero(suspect.any(axis=1))
        columns = np.flatnonzero(suspect.any(axis=0))
        patches = values.reshape(suspect.shape[0], -1)[rows]
        channels = self.channels[columns]
        weights = self.filter.weights[..., channels].astype(patches.dtype).reshape(-1, columns.size)
        magnitudes = self.magnitudes[..., columns].reshape(weights.shape)
        low, high = self.low + self.slack, self.high - self.slack
        before = np.broadcast_to(self.bias[channels].astype(np.float64), (rows.size, columns.size))
        leaves = np.zeros(before.shape, bool)
        for start in range(0, weights.shape[0], _STRETCH):
            part = slice(start, start + _STRETCH)
            signed = (patches[:, part] @ weights[part]).astype(np.float64)
            spread = (np.abs(patches[:, part]) @ magnitudes[part]).astype(np.float64)
            leaves |= before + (signed + spread) / 2 > high
            leaves |= before + (signed - spread) / 2 < low
            before = before + signed
        suspect[np.ix_(rows, columns)] &= leaves

    def _products(self, values: NDArray, rows: NDArray[np.intp], channels: NDArray[np.intp]) -> NDArray[np.int64]:
        """Terms of the chosen sums in the chip's order, [sums, terms]; terms that are added exactly together are one."""
        position = np.unravel_index(rows, values.shape[:2])
        weights = np.moveaxis(self.filter.weights[..., channels], -1, 0)
        if self.filter.depthwise:
            taken = values[position[0], position[1], :, :, channels]
        else:
            taken = values[position[0], position[1]]
        terms = (taken.astype(np.int64) * weights).reshape(rows.size, -1)
        return terms if self.group_starts is None else np.add.reduceat(terms, self.group_starts, axis=1)


def unproved(filter: MacFilter) -> list[LaneRule]:
    """The accumulators that, for all the weights say, some sum may leave."""
    if not filter.lanes:
        return []
    bias = 0.0 if filter.bias is None else np.abs(filter.bias.astype(np.float64))
    largest = -float(np.iinfo(filter.input_dtype).min)
    taps = filter.weights.size // filter.channels
    heaviest = taps * largest * -float(np.iinfo(filter.weights.dtype).min) + float(np.max(bias))
    if all(heaviest * (1 + 2.0**-40) <= lane_limits(rule.accumulator)[1] for rule in filter.lanes):
        return []
    bound = (weight_sums(filter) * largest + bias) * (1 + 2.0**-40)
    return [rule for rule in filter.lanes if (bound[rule.start : rule.stop] > lane_limits(rule.accumulator)[1]).any()]


def weight_sums(filter: MacFilter) -> NDArray[np.float64]:
    """``sum|w|`` of each output channel."""
    taps = tuple(range(filter.weights.ndim - 1))
    return np.abs(filter.weights.astype(np.int32)).sum(axis=taps, dtype=np.int64).astype(np.float64)


def _group_starts(filter: MacFilter, every: int) -> NDArray[np.intp] | None:
    """First product of each group that is added exactly; a group never spans two taps. None when each product stands alone."""
    if every == 1 or filter.depthwise:
        return None
    rows, columns, channels, _ = filter.weights.shape
    taps = rows * columns
    return (np.arange(taps)[:, None] * channels + np.arange(0, channels, every)[None, :]).reshape(-1)


def saturating_sums(
    terms: NDArray[np.int64], bias: NDArray[np.int64], accumulator: Accumulator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Adds the terms one after the other, clamping to the lane each time.

    Args:
        terms: [sums, terms].
        bias: [sums], the value an accumulator starts with (clamped to its lane).

    Returns:
        the sums, and which of them differ from the sums without clamping.
    """
    low, high = lane_limits(accumulator)
    largest = float(np.abs(terms).sum(axis=1, dtype=np.float64).max(initial=0.0)) + float(
        np.abs(bias.astype(np.float64)).max(initial=0.0)
    )
    if largest >= _EXACT_INT64:
        exact = [int(b) + sum(int(t) for t in row) for b, row in zip(bias, terms, strict=True)]
        values = _clamped_walk(terms, bias, low, high)
        return values, np.array([int(v) != e for v, e in zip(values, exact, strict=True)], dtype=bool)
    partial = np.cumsum(terms, axis=1)
    partial += bias[:, None]
    values = partial[:, -1].copy() if terms.shape[1] else bias.copy()
    leaves = (bias > high) | (bias < low)
    if terms.shape[1]:
        leaves |= (partial.max(axis=1) > high) | (partial.min(axis=1) < low)
    walked = _clamped_walk(terms[leaves], bias[leaves], low, high)
    differs = np.zeros(bias.shape, bool)
    differs[leaves] = walked != values[leaves]
    values[leaves] = walked
    return values, differs


def _clamped_walk(terms: NDArray[np.int64], bias: NDArray[np.int64], low: int, high: int) -> NDArray[np.int64]:
    value = np.clip(bias, low, high)
    is_widest = high == np.iinfo(np.int64).max
    for term in np.ascontiguousarray(terms.T):
        if is_widest:
            # the sum itself may leave 64 bits: make room for the term first
            value = np.clip(value, low - np.minimum(term, 0), high - np.maximum(term, 0)) + term
        else:
            value = np.clip(value + term, low, high)
    return value
