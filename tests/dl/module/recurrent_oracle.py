"""GRU and LSTM written down from runtime spec 3.12 in plain Python numbers: slow, obvious, one element after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from espdl.rounding import Rounding
from tests.dl.module.harness import fl32, rounded, saturated

Vector = list[int]
Matrix = list[Vector]


@dataclass
class Layer:
    """One direction of a layer as raw integers, and what it computes in.

    Attributes:
        vector: elements in a vector of the chip; 0 where it has none, and in reference arithmetic.
        bits: of activations.
    """

    w: Matrix
    r: Matrix
    wb: Vector
    rb: Vector
    x_exponent: int
    w_exponent: int
    r_exponent: int
    h_exponent: int
    gate_exponent: int
    rounding: Rounding
    bits: int
    vector: int

    def dot(self, row: Vector, vector: Vector, shift: int) -> int:
        total = sum(a * b for a, b in zip(row, vector, strict=True))
        if self.vector and len(row) % self.vector == 0 and shift >= 0:
            return saturated(rounded(Fraction(total, 1 << shift), self.rounding), 16)
        return saturated(rounded(fl32(fl32(total) * 2.0**-shift), self.rounding), 16)

    def gate_input(self, x: Vector) -> Vector:
        shift = self.gate_exponent - (self.x_exponent + self.w_exponent)
        return [wrapped16(self.dot(row, x, shift) + b) for row, b in zip(self.w, self.wb, strict=True)]

    def gate_state(self, h: Vector) -> Vector:
        shift = self.gate_exponent - (self.h_exponent + self.r_exponent)
        return [wrapped16(self.dot(row, h, shift) + b) for row, b in zip(self.r, self.rb, strict=True)]

    def sigmoid(self, index: int) -> float:
        value = sigmoid32(self._position(index, 6.3))
        return value if index >= 0 else fl32(1.0 - value)

    def tanh(self, index: int) -> float:
        value = fl32(2 * sigmoid32(fl32(2 * self._position(index, 3.5))) - 1)
        return value if index >= 0 else -value

    def _position(self, index: int, bound: float) -> float:
        scale = 2.0**self.gate_exponent
        last = int(fl32(fl32(bound) / scale)) + 1
        return fl32(min(abs(index), last) * scale)

    def gru(self, x: Vector, h: Vector) -> Vector:
        size, a, b = len(h), self.gate_input(x), self.gate_state(h)
        new = []
        for k in range(size):
            z, r = self.sigmoid(a[k] + b[k]), self.sigmoid(a[size + k] + b[size + k])
            inner = fl32(a[2 * size + k] + fl32(r * b[2 * size + k]))
            n = self.tanh(rounded(inner, self.rounding))
            scaled = fl32(fl32(fl32(1 - z) * n) * 2.0**-self.h_exponent)
            new.append(saturated(rounded(fl32(scaled + fl32(z * h[k])), self.rounding), self.bits))
        return new

    def lstm(self, x: Vector, h: Vector, c: Vector) -> tuple[Vector, Vector]:
        size, a, b = len(h), self.gate_input(x), self.gate_state(h)
        gates = [wrapped16(p + q) for p, q in zip(a, b, strict=True)]
        new_h, new_c = [], []
        for k in range(size):
            i, o, f = (self.sigmoid(gates[part * size + k]) for part in range(3))
            g = self.tanh(gates[3 * size + k])
            cell = fl32(fl32(f * c[k]) + fl32(fl32(i * g) * 2.0**-self.gate_exponent))
            new_c.append(wrapped16(rounded(cell, self.rounding)))
            value = fl32(fl32(o * self.tanh(new_c[-1])) * 2.0**-self.h_exponent)
            new_h.append(saturated(rounded(value, self.rounding), self.bits))
        return new_h, new_c


def wrapped16(value: int) -> int:
    return (value + 32768) % 65536 - 32768


def sigmoid32(x: float) -> float:
    return fl32(1.0 / (1.0 + fl32(math.exp(-x))))


def walk(
    layers: list[Layer], op_type: str, x: Matrix, h: Matrix, c: Matrix
) -> tuple[list[list[Vector]], list[Vector], list[Vector]]:
    """Y [steps][directions][H], last h and last c [directions][H]."""
    y = [[[0]] * len(layers) for _ in x]
    last_h, last_c = [], []
    for d, layer in enumerate(layers):
        hidden, cell = h[d], c[d]
        for step in range(len(x)) if d == 0 else range(len(x) - 1, -1, -1):
            if op_type == "GRU":
                hidden = layer.gru(x[step], hidden)
            else:
                hidden, cell = layer.lstm(x[step], hidden, cell)
            y[step][d] = hidden
        last_h.append(hidden)
        last_c.append(cell)
    return y, last_h, last_c
