"""What the gates of GRU and LSTM are computed with: products with weights as 16-bit integers, and tables of functions (spec 3.12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.chips import Accumulator, Overflow
from espdl.dl.base.lanes import lane_limits, saturating_sums, wrap
from espdl.dl.machine import Machine
from espdl.dl.module.unary import sigmoid, tanh
from espdl.dtypes import QuantType
from espdl.rounding import quantize, saturate, shift_and_round

SIGMOID_BOUND, TANH_BOUND = 6.3, 3.5
"""Beyond these arguments the chip takes the function as constant."""
MAX_INDEX = 1 << 16
"""Largest magnitude that the sum of two 16-bit integers has."""
_EXACT_IN_BINARY64 = 1 << 53


class GateProduct:
    """``dot`` of every row of a weight matrix with a vector, as int16 at the gate exponent.

    The C code scales the sum in binary32. Where the length fills the chip's vectors and nothing is shifted left, silicon arithmetic
    shifts it as an integer instead, out of the accumulator of a single sum.

    Args:
        weights: [rows, length], int8 or int16.
        dtype: of the vectors.
        shift: gate exponent minus the exponents of weights and vectors.

    Attributes:
        overflows: sums since :meth:`restart` that the chip's accumulator changed.
    """

    def __init__(self, weights: NDArray[Any], dtype: np.dtype, shift: int, machine: Machine) -> None:
        chip, length = machine.chip, weights.shape[1]
        width = QuantType.SYMM_8BIT if dtype == np.int8 else QuantType.SYMM_16BIT
        self.shift, self.rounding = shift, machine.chip.rounding
        self.shifts_integers = (
            machine.is_silicon and chip.vector_bytes > 0 and length % chip.lanes(dtype.itemsize) == 0 and shift >= 0
        )
        plain = Accumulator(32 if dtype == np.int8 else 64, Overflow.WRAP)
        self.accumulator = chip.macs(width).remainder if self.shifts_integers else plain
        self.weights = weights
        magnitudes = np.abs(weights.astype(np.int64)).sum(axis=1)
        largest = magnitudes * -int(np.iinfo(dtype).min)
        exact = np.float64 if int(largest.max(initial=0)) < _EXACT_IN_BINARY64 else np.int64
        self._transposed = np.ascontiguousarray(weights.T.astype(exact))
        self._unproved = np.flatnonzero(largest > lane_limits(self.accumulator)[1])
        self.overflows = 0

    def restart(self) -> None:
        """Counts overflows from 0 again."""
        self.overflows = 0

    def __call__(self, vectors: NDArray[Any]) -> NDArray[np.int16]:
        """[steps, length] to [steps, rows]."""
        sums = (vectors.astype(self._transposed.dtype) @ self._transposed).astype(np.int64)
        if self._unproved.size:
            self._confine(sums, vectors)
        if self.shifts_integers:
            scaled = saturate(shift_and_round(sums, self.shift, self.rounding), np.int16)
        else:
            scaled = quantize(sums.astype(np.float32), self.shift, np.int16, self.rounding)
        return scaled.astype(np.int16, copy=False)

    def _confine(self, sums: NDArray[np.int64], vectors: NDArray[Any]) -> None:
        """Puts the accumulator's value in the place of every sum that may have left it."""
        if self.accumulator.overflow is Overflow.WRAP:
            wrapped = wrap(sums, self.accumulator.bits)
            self.overflows += int(np.count_nonzero(wrapped != sums))
            sums[...] = wrapped
            return
        starts = np.arange(0, vectors.shape[1], self.accumulator.every)
        for step, vector in enumerate(vectors.astype(np.int64)):
            terms = np.add.reduceat(self.weights[self._unproved].astype(np.int64) * vector, starts, axis=1)
            kept, differs = saturating_sums(terms, np.zeros(self._unproved.size, np.int64), self.accumulator)
            sums[step, self._unproved] = kept
            self.overflows += int(np.count_nonzero(differs))


class GateTable:
    """A function at the multiples of the gate scale up to a bound, beyond which it stays; negative arguments by symmetry.

    Args:
        function: of binary32 values.
        bound: largest magnitude of an argument.
        exponent: the gate exponent.
        complement: whether ``f(-x)`` is ``1 - f(x)``, else it is ``-f(x)``.
    """

    def __init__(
        self, function: Callable[[NDArray[np.float32]], NDArray[Any]], bound: float, exponent: int, *, complement: bool
    ) -> None:
        steps = int(np.ldexp(np.float32(bound), -exponent)) + 1
        self.last = min(steps, MAX_INDEX)  # no argument reaches further
        positive = function(np.ldexp(np.arange(self.last + 1, dtype=np.float32), exponent))
        negative = np.float32(1) - positive if complement else -positive
        self._table = np.concatenate([negative[:0:-1], positive]).astype(np.float32)

    def __call__(self, arguments: NDArray[np.integer]) -> NDArray[np.float32]:
        """The function at integers in units of the gate scale."""
        return self._table[np.clip(arguments, -self.last, self.last) + self.last]


def sigmoid_table(exponent: int) -> GateTable:
    """The logistic function at the gate exponent."""
    return GateTable(sigmoid, SIGMOID_BOUND, exponent, complement=True)


def tanh_table(exponent: int) -> GateTable:
    """The hyperbolic tangent at the gate exponent."""
    return GateTable(tanh, TANH_BOUND, exponent, complement=False)


def add_wrapping(a: NDArray[np.int16], b: NDArray[np.int16] | None) -> NDArray[np.int16]:
    """16-bit sums that wrap around, as the chip stores them."""
    return a if b is None else np.add(a, b, dtype=np.int16)
