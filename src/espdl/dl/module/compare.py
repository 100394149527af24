"""Comparisons: Equal, Greater, GreaterOrEqual, Less, LessOrEqual."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import Relation
from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.binary import MERGED_RANK, Binary
from espdl.dl.module.checks import INTEGER_TYPES, type_name
from espdl.dl.module.contract import INTEGER, Align, Contract, Quantization
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class _Comparison(Binary):
    """Compares raw integers, which must have the same exponent; the output is BOOL, one byte of 0 or 1 (runtime spec 3.1)."""

    default_inplace = Inplace.CHANGED_BUFFER
    contract = Contract(INTEGER, limits=(MERGED_RANK,))
    quantization = Quantization(float_outputs=frozenset({0}), align=Align.INPUTS_TOGETHER)
    types = INTEGER_TYPES
    operation: ClassVar[np.ufunc]
    relation: ClassVar[Relation]
    exchanged: ClassVar[bool] = False  # whether the operands of the relation are

    def _typed(self, first: TensorBase, second: TensorBase, target: TensorBase) -> tuple[TensorBase, ...]:
        if target.dtype is not DType.BOOL:
            raise EspdlError(f"an output of type {type_name(target.dtype)}", why="a comparison gives bool")
        return first, second

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return self.operation(a, b)

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        a, b = (second, first) if self.exchanged else (first, second)
        return machine.kernels.compare_step(a.data, b.data, target.data, self.relation)


class Equal(_Comparison, op_type="Equal"):
    """``a == b``."""

    operation = np.equal
    relation = "equal"


class Greater(_Comparison, op_type="Greater"):
    """``a > b``."""

    operation = np.greater
    relation = "greater"


class GreaterOrEqual(_Comparison, op_type="GreaterOrEqual"):
    """``a >= b``."""

    operation = np.greater_equal
    relation = "greater_equal"


class Less(_Comparison, op_type="Less"):
    """``a < b``."""

    operation = np.less
    relation = "greater"
    exchanged = True


class LessOrEqual(_Comparison, op_type="LessOrEqual"):
    """``a <= b``."""

    operation = np.less_equal
    relation = "greater_equal"
    exchanged = True
