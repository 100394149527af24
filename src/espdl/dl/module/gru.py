"""GRU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.checks import integer_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Quantization, States
from espdl.dl.module.gates import sigmoid_table, tanh_table
from espdl.dl.module.recurrent import BIAS, INITIAL_H, Cell, Recurrent, State
from espdl.dl.module.recurrent_rules import GRU_LIMITS
from espdl.dl.module.unary import sigmoid, tanh
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import quantize, round_float


class GRU(Recurrent, op_type="GRU"):
    """Gated recurrent unit, gates z, r, n. Outputs Y and Y_h.

    ``n = tanh(Wx + r * Rh)``, the form with ``linear_before_reset`` 1; ``h = (1 - z) * n + z * h``. On integers the gates are int16 at
    ``gate_exponent`` (-8) and the functions are tables.
    """

    contract = Contract(INTEGER_AND_FLOAT, (3,), GRU_LIMITS)
    quantization = Quantization(states=States((1, 2), (INITIAL_H,), (0, 1), (BIAS,)))
    gates = 3
    states = 1
    optional_outputs = frozenset({0, 1})

    def configure(self) -> None:
        super().configure()
        if integer_attribute(self, "linear_before_reset", 0) != 1:
            raise EspdlError(
                "linear_before_reset is 0",
                why="the chip applies the reset gate behind the product",
                hint="use the form that PyTorch has (Keras: reset_after=True)",
            )

    def integer_cell(self, exponent: int, dtype: DType, machine: Machine) -> Cell:
        to_gate, to_value = sigmoid_table(self.gate_exponent), tanh_table(self.gate_exponent)
        rounding = machine.chip.rounding
        one = np.float32(1)

        def cell(a: NDArray[np.int16], b: NDArray[np.int16], state: State) -> State:
            h = state[0]
            both = 2 * h.size
            z, r = to_gate(a[:both].astype(np.int32) + b[:both]).reshape(2, -1)
            inner = a[both:].astype(np.float32) + r * b[both:].astype(np.float32)
            n = to_value(round_float(inner, rounding).astype(np.int64))
            real = np.ldexp((one - z) * n, -exponent) + z * h.astype(np.float32)
            return (quantize(real, 0, dtype.numpy, rounding),)

        return cell

    def float_cell(self) -> Cell:
        one = np.float32(1)

        def cell(a: NDArray[np.float32], b: NDArray[np.float32], state: State) -> State:
            h = state[0]
            both = 2 * h.size
            z, r = sigmoid(a[:both] + b[:both]).reshape(2, -1)
            n = tanh(a[both:] + r * b[both:])
            return ((one - z) * n + z * h,)

        return cell
