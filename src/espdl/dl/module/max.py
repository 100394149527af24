"""Max and Min of two tensors."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.binary import MERGED_RANK, Binary
from espdl.dl.module.contract import INTEGER, Align, Availability, Contract, Limit, Quantization
from espdl.dtypes import Inplace
from espdl.tensor import TensorBase

_TWO = Limit("there are two inputs", lambda facts: len(facts.input_shapes) == 2, "write it as Max or Min of two, in a row")


class _Extremum(Binary):
    """Compares raw integers: exponents are not looked at, all three must be equal (runtime spec 3.1)."""

    default_inplace = Inplace.CHANGED_BUFFER
    contract = Contract(INTEGER, limits=(_TWO, MERGED_RANK), availability=Availability.UNREGISTERED)
    quantization = Quantization(align=Align.INPUTS_TO_OUTPUT)
    operation: ClassVar[np.ufunc]

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return self.operation(a, b)

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        operation = self.operation

        def step() -> None:
            operation(first.data, second.data, out=target.data)

        return step


class Max(_Extremum, op_type="Max"):
    """The larger of ``a`` and ``b``."""

    operation = np.maximum


class Min(_Extremum, op_type="Min"):
    """The smaller of ``a`` and ``b``."""

    operation = np.minimum
