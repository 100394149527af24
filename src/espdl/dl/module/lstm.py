"""LSTM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.checks import integer_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Quantization, States
from espdl.dl.module.gates import add_wrapping, sigmoid_table, tanh_table
from espdl.dl.module.recurrent import BIAS, INITIAL_C, INITIAL_H, Cell, Recurrent, State
from espdl.dl.module.recurrent_rules import LSTM_LIMITS
from espdl.dl.module.unary import sigmoid, tanh
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import quantize, round_float


class LSTM(Recurrent, op_type="LSTM"):
    """Long short-term memory, gates i, o, f, g. Outputs Y, Y_h and Y_c.

    ``c = f * c + i * g``, ``h = o * tanh(c)``. On integers gates and cell state are int16 at ``gate_exponent`` (-8), their sums wrap
    around, and the functions are tables. Input P (peepholes) is ignored, as on the chip.
    """

    contract = Contract(INTEGER_AND_FLOAT, (3,), LSTM_LIMITS)
    quantization = Quantization(states=States((1, 2), (INITIAL_H,), (0, 1), (BIAS, INITIAL_C), (2,)))
    gates = 4
    states = 2
    optional_outputs = frozenset({0, 1, 2})

    def configure(self) -> None:
        super().configure()
        if integer_attribute(self, "input_forget", 0):
            raise EspdlError("input_forget is 1", why="the chip has no LSTM with coupled input and forget gates")

    def integer_cell(self, exponent: int, dtype: DType, machine: Machine) -> Cell:
        gate_exponent, rounding = self.gate_exponent, machine.chip.rounding
        to_gate, to_value = sigmoid_table(gate_exponent), tanh_table(gate_exponent)

        def cell(a: NDArray[np.int16], b: NDArray[np.int16], state: State) -> State:
            h, c = state
            gates = add_wrapping(a, b).astype(np.int32)
            i, o, f = to_gate(gates[: 3 * h.size]).reshape(3, -1)
            g = to_value(gates[3 * h.size :])
            real = f * c.astype(np.float32) + np.ldexp(i * g, -gate_exponent)
            # not saturated: the chip cuts the integer to 16 bits
            cells = round_float(real, rounding).astype(np.int64).astype(np.int16)
            return quantize(o * to_value(cells.astype(np.int32)), exponent, dtype.numpy, rounding), cells

        return cell

    def float_cell(self) -> Cell:
        def cell(a: NDArray[np.float32], b: NDArray[np.float32], state: State) -> State:
            h, c = state
            gates = a + b
            i, o, f = sigmoid(gates[: 3 * h.size]).reshape(3, -1)
            cells = f * c + i * tanh(gates[3 * h.size :])
            return o * tanh(cells), cells

        return cell
