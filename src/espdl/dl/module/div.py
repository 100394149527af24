"""Div."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import merged_shapes
from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.binary import Binary
from espdl.dl.module.checks import tensor_exponent
from espdl.dl.module.table import table_step
from espdl.dtypes import DType
from espdl.rounding import Rounding, round_float, saturate
from espdl.tensor import TensorBase

_VALUES8 = np.arange(-128, 128)


class Div(Binary, op_type="Div"):
    """``a / b``, computed in binary32 on every chip (runtime spec 3.1.1).

    On integers 0 / b is 0, and a / 0 the highest or lowest value of the type by the sign of a. Where the divisor is one value per row
    its reciprocal is taken first. An 8-bit operand of a single element makes the operator a table; as on the chip the table is built
    by the first run and kept, whatever becomes of that element.
    """

    def configure(self) -> None:
        self._table: NDArray[np.int8] | None = None

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return a / b

    def float_step(self, first: TensorBase, second: TensorBase, target: TensorBase) -> Step:
        if not _divides_by_scalar(first, second, scalar_wins=True):
            return super().float_step(first, second, target)

        def step() -> None:
            with np.errstate(all="ignore"):
                np.multiply(first.data, np.float32(1) / second.data, out=target.data)

        return step

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        shift = tensor_exponent(first) - tensor_exponent(second) - tensor_exponent(target)
        rounding = machine.chip.rounding
        if target.dtype is DType.INT8 and 1 in (first.size, second.size):
            return self._single_element_step(first, second, target, shift, machine)
        by_reciprocal = _divides_by_scalar(first, second, scalar_wins=target.dtype is DType.INT16)
        return machine.kernels.quotient_step(first.data, second.data, target.data, shift, rounding, by_reciprocal=by_reciprocal)

    def _single_element_step(
        self, first: TensorBase, second: TensorBase, target: TensorBase, shift: int, machine: Machine
    ) -> Step:
        rounding = machine.chip.rounding
        bound: list[Step] = []

        def looked_up() -> Step:
            if self._table is None:
                if first.size == 1:
                    self._table = _table_of_divisors(int(first.data.ravel()[0]), shift, rounding)
                else:
                    self._table = _table_of_dividends(int(second.data.ravel()[0]), shift, rounding)
            return table_step(self._table, second if first.size == 1 else first, target, machine)

        def step() -> None:
            if not bound:
                bound.append(looked_up())
            bound[0]()

        is_constant = (0 if first.size == 1 else 1) in self.parameters
        return looked_up() if is_constant else step


def _divides_by_scalar(first: TensorBase, second: TensorBase, *, scalar_wins: bool) -> bool:
    """Whether the second operand is one value in the innermost loop; ``scalar_wins`` decides where both are."""
    a, b = merged_shapes(first.shape, second.shape)
    return b[-1] == 1 and (a[-1] > 1 or scalar_wins)


def _table_of_dividends(divisor: int, shift: int, rounding: Rounding) -> NDArray[np.int8]:
    """``i / divisor`` for every i; a divisor of 0 saturates."""
    with np.errstate(all="ignore"):
        reciprocal = np.ldexp(np.float32(1), shift) / np.float32(divisor)
        table = saturate(round_float(_VALUES8.astype(np.float32) * reciprocal, rounding), np.int8)
    table[_VALUES8 == 0] = 0
    return table.astype(np.int8)


def _table_of_divisors(dividend: int, shift: int, rounding: Rounding) -> NDArray[np.int8]:
    """``dividend / i`` for every i. Unlike in the loops, 0 / 0 is the lowest value."""
    with np.errstate(all="ignore"):
        table = saturate(round_float(np.ldexp(np.float32(dividend), shift) / _VALUES8.astype(np.float32), rounding), np.int8)
    table[_VALUES8 == 0] = 127 if dividend > 0 else -128
    return table.astype(np.int8)
