"""Add and Sub."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.binary import Binary
from espdl.dl.module.contract import Align, Quantization
from espdl.dtypes import Inplace
from espdl.tensor import TensorBase


class _Sum(Binary):
    """On integers the sum of the raw values, saturated. Exponents are not looked at: all three must be equal (runtime spec 3.1)."""

    quantization = Quantization(align=Align.INPUTS_TO_OUTPUT)
    operation: ClassVar[np.ufunc]

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return self.operation(a, b)

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        subtract = self.operation is np.subtract
        return machine.kernels.sum_step(first.data, second.data, target.data, subtract=subtract)


class Add(_Sum, op_type="Add"):
    """``a + b``."""

    default_inplace = Inplace.CHANGED_BUFFER
    operation = np.add


class Sub(_Sum, op_type="Sub"):
    """``a - b``."""

    operation = np.subtract
