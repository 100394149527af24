"""One step of a GRU or LSTM (runtime spec 3.12): 16-bit gates and tables of functions on integers, the functions themselves on floats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.cases.oracle.floats import sigmoid, tanh
from tests.cases.oracle.rounding import fl32, power_of_two, round_float, saturate, shift_and_round, wrap

Vector = list[Any]
SIGMOID_BOUND, TANH_BOUND = fl32(6.3), fl32(3.5)


@dataclass
class IntegerLayer:
    """One direction: raw integers in, raw integers out.

    Attributes:
        w, r: one row for each gate of each hidden unit.
        wb, rb: int16 at the gate exponent.
        lanes: elements of a vector where the vector unit computes; 0 where the C code does.
    """

    w: Sequence[Vector]
    r: Sequence[Vector]
    wb: Vector
    rb: Vector
    x_exponent: int
    w_exponent: int
    r_exponent: int
    h_exponent: int
    gate_exponent: int
    dtype: str
    rounding: str
    lanes: int

    def dot(self, row: Vector, vector: Vector, shift: int) -> int:
        """int16 at the gate exponent."""
        added = sum(a * b for a, b in zip(row, vector, strict=True))
        if self.lanes and len(row) % self.lanes == 0 and shift >= 0:
            assert abs(added) < 2**39, "the accumulator has 40 bits"
            return saturate(shift_and_round(added, shift, self.rounding), "int16")
        assert abs(added) < 2**53, "float() would round"
        return saturate(round_float(fl32(fl32(float(added)) * power_of_two(-shift)), self.rounding), "int16")

    def from_input(self, x: Vector) -> Vector:
        shift = self.gate_exponent - (self.x_exponent + self.w_exponent)
        return [wrap(self.dot(row, x, shift) + bias, 16) for row, bias in zip(self.w, self.wb, strict=True)]

    def from_state(self, h: Vector) -> Vector:
        shift = self.gate_exponent - (self.h_exponent + self.r_exponent)
        return [wrap(self.dot(row, h, shift) + bias, 16) for row, bias in zip(self.r, self.rb, strict=True)]

    def _nearest_entry(self, index: int, bound: float) -> float:
        """The real argument of the table's entry for a magnitude."""
        scale = power_of_two(self.gate_exponent)
        last = int(fl32(bound / scale)) + 1
        return fl32(min(abs(index), last) * scale)

    def sigmoid(self, index: int) -> float:
        value = sigmoid(self._nearest_entry(index, SIGMOID_BOUND))
        return value if index >= 0 else fl32(1 - value)

    def tanh(self, index: int) -> float:
        value = tanh(self._nearest_entry(index, TANH_BOUND))
        return value if index >= 0 else -value

    def gru(self, x: Vector, h: Vector) -> Vector:
        size, a, b = len(h), self.from_input(x), self.from_state(h)
        result = []
        for k, before in enumerate(h):
            z = self.sigmoid(a[k] + b[k])
            r = self.sigmoid(a[size + k] + b[size + k])
            n = self.tanh(round_float(fl32(a[2 * size + k] + fl32(r * b[2 * size + k])), self.rounding))
            new = fl32(fl32(fl32(1 - z) * n) * power_of_two(-self.h_exponent))
            result.append(saturate(round_float(fl32(new + fl32(z * before)), self.rounding), self.dtype))
        return result

    def lstm(self, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
        size = len(h)
        gates = [wrap(a + b, 16) for a, b in zip(self.from_input(x), self.from_state(h), strict=True)]
        new_h, new_c = [], []
        for k, before in enumerate(c):
            i, o, f = (self.sigmoid(gates[part * size + k]) for part in range(3))
            g = self.tanh(gates[3 * size + k])
            cell = fl32(fl32(f * before) + fl32(fl32(i * g) * power_of_two(-self.gate_exponent)))
            new_c.append(wrap(round_float(cell, self.rounding), 16))  # cut to 16 bits, not saturated
            value = fl32(fl32(o * self.tanh(new_c[-1])) * power_of_two(-self.h_exponent))
            new_h.append(saturate(round_float(value, self.rounding), self.dtype))
        return new_h, new_c


@dataclass
class FloatLayer:
    """One direction in float32. Chips add the products in orders of their own; here every sum is the one nearest to the exact one."""

    w: Sequence[Vector]
    r: Sequence[Vector]
    wb: Vector
    rb: Vector

    def gates(self, rows: Sequence[Vector], vector: Vector, biases: Vector) -> Vector:
        sums = (math.fsum(a * b for a, b in zip(row, vector, strict=True)) for row in rows)
        return [fl32(fl32(added) + bias) for added, bias in zip(sums, biases, strict=True)]

    def gru(self, x: Vector, h: Vector) -> Vector:
        size, a, b = len(h), self.gates(self.w, x, self.wb), self.gates(self.r, h, self.rb)
        result = []
        for k, before in enumerate(h):
            z, r = sigmoid(fl32(a[k] + b[k])), sigmoid(fl32(a[size + k] + b[size + k]))
            n = tanh(fl32(a[2 * size + k] + fl32(r * b[2 * size + k])))
            result.append(fl32(fl32(fl32(1 - z) * n) + fl32(z * before)))
        return result

    def lstm(self, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
        size = len(h)
        both = zip(self.gates(self.w, x, self.wb), self.gates(self.r, h, self.rb), strict=True)
        gates = [fl32(a + b) for a, b in both]
        new_h, new_c = [], []
        for k, before in enumerate(c):
            i, o, f = (sigmoid(gates[part * size + k]) for part in range(3))
            new_c.append(fl32(fl32(f * before) + fl32(i * tanh(gates[3 * size + k]))))
            new_h.append(fl32(o * tanh(new_c[-1])))
        return new_h, new_c
