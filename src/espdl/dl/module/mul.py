"""Mul."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.base.steps import merged_shapes
from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.binary import Binary
from espdl.dl.module.checks import tensor_exponent
from espdl.dl.module.contract import Quantization
from espdl.dtypes import DType
from espdl.tensor import TensorBase


class Mul(Binary, op_type="Mul"):
    """``a * b``.

    On integers the chip's vector unit shifts the exact product; its C code multiplies in binary32, which differs from it by one at most
    and only for 16-bit products of 2**24 and more (runtime spec 3.1). The vector unit serves rows of at least one vector that are not
    scaled up; every other row, and every row in reference arithmetic, is the C code's.
    """

    quantization = Quantization(multiplies=True)

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return a * b

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        product_exponent = tensor_exponent(first) + tensor_exponent(second)
        shift = tensor_exponent(target) - product_exponent
        in_float = target.dtype is not DType.INT8 and (shift < 0 or not _is_vectorized(first, second, target, machine))
        return machine.kernels.product_step(first.data, second.data, target.data, shift, machine.chip.rounding, in_float=in_float)


def _is_vectorized(first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> bool:
    a, b = merged_shapes(first.shape, second.shape)
    lanes = machine.chip.lanes(target.dtype.itemsize)
    return machine.is_silicon and lanes > 1 and max(a[-1], b[-1]) >= lanes
