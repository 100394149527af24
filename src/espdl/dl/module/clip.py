"""Clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.checks import common_dtype, given, optional, tensor_exponent
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Quantization, constants
from espdl.dl.module.table import stored_table8, table_step
from espdl.dl.module.unary import Unary
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import saturate, shift_and_round
from espdl.tensor import TensorBase

_SMALLEST_NORMAL = np.finfo(np.float32).tiny


class Clip(Unary, op_type="Clip"):
    """``min(max(x, low), high)``; inputs X, low (optional), high (optional).

    On integers the bounds are integers in the exponent of X, and the clamped value is rescaled to the output's exponent. Runtime spec
    3.6: in float32 with more than one input, a missing low is the smallest positive normal number, as the chip has it.
    """

    contract = Contract(
        INTEGER_AND_FLOAT,
        limits=(constants("the bounds are constants", 1, remedy="compute the bounds before the network is exported"),),
    )
    quantization = Quantization(inputs_like_first=frozenset({1, 2}), table=True)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        dtype = common_dtype(self, (source, target))
        low, high = (self._bound_value(optional(inputs, index), source) for index in (1, 2))
        if dtype is DType.FLOAT:
            if low is None and len(inputs) > 1:
                low = float(_SMALLEST_NORMAL)
            return _clamp_step(source, target, low, high)
        if dtype is DType.INT8 and "lut" in self.attributes:
            return table_step(stored_table8(self, target), source, target, machine)
        limits = np.iinfo(dtype.numpy)
        values = np.arange(limits.min, limits.max + 1)
        clamped = _clamp(values, low, high)
        shift = tensor_exponent(target) - tensor_exponent(source)
        table = saturate(shift_and_round(clamped, shift, machine.chip.rounding), dtype.numpy)
        return table_step(table, source, target, machine)

    def _bound_value(self, tensor: TensorBase | None, source: TensorBase) -> float | None:
        if tensor is None:
            return None
        if tensor.size != 1 or tensor.dtype is not source.dtype:
            raise EspdlError("a bound must be one value of the type of the input")
        value = np.asarray(tensor.data).ravel()[0]
        return float(value) if source.dtype is DType.FLOAT else int(value)

    def float_forward(self, x: NDArray[Any], low: NDArray[Any] | None = None, high: NDArray[Any] | None = None) -> NDArray[Any]:
        return _clamp(x, low, high)


def _clamp(values: NDArray[Any], low: Any, high: Any) -> NDArray[Any]:
    # Not np.clip: with low > high the chip, and ONNX, let high win.
    if low is not None:
        values = np.maximum(values, low)
    if high is not None:
        values = np.minimum(values, high)
    return values


def _clamp_step(source: TensorBase, target: TensorBase, low: float | None, high: float | None) -> Step:
    def step() -> None:
        target.data[...] = _clamp(source.data, low, high)

    return step
