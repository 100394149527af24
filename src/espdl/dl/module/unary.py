"""``Unary``: operators of one value in, one value out. On integers every one of them is a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, given, input_shape, tensor_exponent
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Quantization
from espdl.dl.module.table import stored_table8, table_step
from espdl.dtypes import DType, Inplace
from espdl.rounding import Rounding, dequantize, quantize
from espdl.tensor import TensorBase

_erf = np.frompyfunc(math.erf, 1, 1)


class Unary(Module):
    """An element-wise operator. A subclass says :meth:`float_forward`, in the precision of its argument.

    8 bits with attribute ``lut``: that table. Otherwise ``sat(round(fl32(F(fl32(x * 2**ei)) * 2**-eo)))`` (runtime spec 3.6), which is
    computed once for every value the type has. A 16-bit ``lut`` is ignored, as on the chip (appendix C).
    """

    default_inplace = Inplace.CHANGED_BUFFER
    contract: ClassVar[Contract] = Contract(INTEGER_AND_FLOAT)
    quantization: ClassVar[Quantization] = Quantization(table=True)
    layout: ClassVar[LayoutRule] = LayoutRule(Layout.FOLLOWS_INPUT)
    reads_table: ClassVar[bool] = True  # whether the chip looks at an 8-bit ``lut``

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        return [input_shape(input_shapes)]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        dtype = common_dtype(self, (source, target))
        if dtype is DType.FLOAT:
            return self.bind_float(source, target)
        if dtype is DType.INT8 and self.reads_table and "lut" in self.attributes:
            table = stored_table8(self, target)
        else:
            table = self.integer_table(dtype.numpy, tensor_exponent(source), tensor_exponent(target), machine.chip.rounding)
        return table_step(table, source, target, machine)

    def bind_float(self, source: TensorBase, target: TensorBase) -> Step:
        """The step of a float32 file."""

        def step() -> None:
            with np.errstate(all="ignore"):
                target.data[...] = self.float_forward(source.data)

        return step

    def integer_table(self, dtype: np.dtype, input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        """Results for every value of ``dtype``, in the order of the values. Shape [2**bits]."""
        limits = np.iinfo(dtype)
        values = np.arange(limits.min, limits.max + 1)
        with np.errstate(all="ignore"):
            return quantize(self.float_forward(dequantize(values, input_exponent)), output_exponent, dtype, rounding)


def exp(values: NDArray[Any]) -> NDArray[Any]:
    """Exponential in the precision of ``values``; binary32 is computed in binary64 and rounded once, as a good ``expf`` does."""
    with np.errstate(over="ignore"):
        return np.exp(values.astype(np.float64)).astype(values.dtype)


def log(values: NDArray[Any]) -> NDArray[Any]:
    """Natural logarithm in the precision of ``values``, rounded once as :func:`exp`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(values.astype(np.float64)).astype(values.dtype)


def sigmoid(values: NDArray[Any]) -> NDArray[Any]:
    """``1 / (1 + exp(-x))``, the exponential in the precision of ``values`` and the division in binary64 (runtime spec 3.6)."""
    return np.asarray(1.0 / (1.0 + exp(-values).astype(np.float64))).astype(values.dtype)


def erf(values: NDArray[Any]) -> NDArray[Any]:
    """The error function, computed in binary64 and rounded once to the precision of ``values``."""
    return np.asarray(_erf(values.astype(np.float64)), dtype=np.float64).astype(values.dtype)


def tanh(values: NDArray[Any]) -> NDArray[Any]:
    """``2 * sigmoid(2 * x) - 1``, the form that the chip evaluates (runtime spec 3.6)."""
    return 2 * sigmoid(2 * values) - 1
