"""Mul."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.binary import Binary, merged_shapes
from espdl.dl.module.checks import tensor_exponent
from espdl.dl.module.contract import Quantization
from espdl.dtypes import DType
from espdl.rounding import quantize
from espdl.tensor import TensorBase


class Mul(Binary, op_type="Mul"):
    """``a * b``.

    On integers the chip's vector unit shifts the exact product; its C code multiplies in binary32, which differs from it by one at most
    and only for 16-bit products of 2**24 and more (runtime spec 3.1). The vector unit serves rows of at least one vector that are not
    scaled up; every other row, and every row in reference arithmetic, is the C code's.
    """

    quantization = Quantization(multiplies=True)

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:  # type: ignore[override]
        return a * b

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        product_exponent = tensor_exponent(first) + tensor_exponent(second)
        shift = tensor_exponent(target) - product_exponent
        if target.dtype is DType.INT8 or (shift >= 0 and _is_vectorized(first, second, target, machine)):
            return _shift_step(first, second, target, shift, machine)
        return _float_step(first, second, target, shift, machine)


def _is_vectorized(first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> bool:
    a, b = merged_shapes(first.shape, second.shape)
    lanes = machine.chip.lanes(target.dtype.itemsize)
    return machine.is_silicon and lanes > 1 and max(a[-1], b[-1]) >= lanes


def _shift_step(first: TensorBase, second: TensorBase, target: TensorBase, shift: int, machine: Machine) -> Step:
    finish, rounding = machine.kernels.shift_round_saturate, machine.chip.rounding
    product = np.empty(target.shape, dtype=np.int32)
    shifts = np.array([shift], dtype=np.int64)

    def step() -> None:
        np.multiply(first.data, second.data, out=product, dtype=np.int32)
        finish(product, shifts, rounding, target.data)

    return step


def _float_step(first: TensorBase, second: TensorBase, target: TensorBase, shift: int, machine: Machine) -> Step:
    rounding, dtype = machine.chip.rounding, target.dtype.numpy
    product = np.empty(target.shape, dtype=np.float32)

    def step() -> None:
        np.multiply(first.data, second.data, out=product, dtype=np.float32)
        target.data[...] = quantize(product, shift, dtype, rounding)

    return step
