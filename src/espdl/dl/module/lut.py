"""Gelu, and LUT: any function of one value as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import MODULE_TYPES, Step
from espdl.dl.module.checks import INTEGER_TYPES, common_dtype, given, text_attribute
from espdl.dl.module.contract import INTEGER, Contract
from espdl.dl.module.table import interpolated16, stored_table8, stored_table16, table_step
from espdl.dl.module.unary import Unary, erf
from espdl.dtypes import DType, Int16Lut
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class Lut(Unary, op_type="LUT"):
    """The table in attribute ``lut``: 256 entries at 8 bits; at 16 bits 65536, or ``65536 / step + 1``.

    Of a table with a step the nearest entry is taken, or what lies on the line between two: see :class:`espdl.dtypes.Int16Lut`.
    Attribute ``original_op_type`` names the operator that the table stands for; its attributes are kept beside it.
    """

    contract = Contract(INTEGER)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        dtype = common_dtype(self, (source, target), INTEGER_TYPES, hint="quantize the network to 8 or 16 bits")
        if dtype is DType.INT8:
            return table_step(stored_table8(self, target), source, target, machine)
        table = stored_table16(self, target)
        if machine.int16_lut is Int16Lut.INTERPOLATING:
            table = interpolated16(table)
        return table_step(table, source, target, machine)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        original = text_attribute(self, "original_op_type", "")
        if original not in MODULE_TYPES or original == self.op_type:
            raise EspdlError(f"the table stands for no known operator: original_op_type is {original!r}", where=self.name)
        attributes = {name: value for name, value in self.attributes.items() if name != "lut"}
        module = MODULE_TYPES[original](self.name, attributes=attributes, parameters=self.parameters, op_type=original)
        result = module.float_forward(x)
        assert not isinstance(result, tuple)
        return result


class Gelu(Lut, op_type="Gelu"):
    """``x * Phi(x)``, always a table. Attribute ``approximate``: ``none`` (the error function) or ``tanh``."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        wide = np.asarray(x, dtype=np.float64)
        if text_attribute(self, "approximate", "none") == "tanh":
            inner = np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))
        else:
            inner = erf(wide / math.sqrt(2))
        return (0.5 * wide * (1 + inner)).astype(x.dtype)
