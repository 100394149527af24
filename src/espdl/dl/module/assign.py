"""Copying one activation to another type or exponent: the body of Quantize, Dequantize, Requantize, Identity and the reshapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import NOTHING
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import INTEGER_TYPES, given
from espdl.dl.quirk_sites import lost_multiplier
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.rounding import saturate, shift_and_round
from espdl.tensor import TensorBase
from espdl.tensor_convert import convert, refusal


def assign_step(source: TensorBase, target: TensorBase, machine: Machine) -> Step:
    """The step of ``target.assign(source)`` (runtime spec 2.3), with everything that is fixed decided now.

    Equal type and exponent copy the bytes, or do nothing where ``target`` lies on ``source``. Between integers the value is shifted with
    the chip's rounding and saturated, which is what the float expression of the C code gives for every 8- and 16-bit value. In silicon
    arithmetic the vector unit loses factors that its registers do not hold.

    Raises:
        EspdlError: the sizes differ, or the runtime does not convert between the types.
    """
    if source.size != target.size:
        raise EspdlError(f"{source.size} elements cannot become {target.size}")
    reason = refusal(source.dtype, source.exponent, target.dtype, target.exponent)
    if reason:
        raise EspdlError(f"{source.dtype.name} cannot become {target.dtype.name}", why=reason)
    if source.dtype is target.dtype and source.exponent == target.exponent:
        return _copy_step(source, target, machine)
    if source.dtype in INTEGER_TYPES and target.dtype in INTEGER_TYPES:
        return _requantize_step(source, target, int(target.exponent) - int(source.exponent), machine)
    rounding = machine.chip.rounding
    if source.dtype is DType.FLOAT and target.dtype in INTEGER_TYPES:
        return machine.kernels.quantize_step(source.data, target.data, int(target.exponent), rounding)
    if source.dtype in INTEGER_TYPES and target.dtype is DType.FLOAT:
        return machine.kernels.dequantize_step(source.data, target.data, int(source.exponent))

    def step() -> None:
        values = convert(source.data, source.dtype, source.exponent, target.dtype, target.exponent, rounding)
        assert values is not None
        target.data[...] = values.reshape(target.data.shape)

    return step


def _requantize_step(source: TensorBase, target: TensorBase, shift: int, machine: Machine) -> Step:
    rounding = machine.chip.rounding
    factor = lost_multiplier(source.dtype, target.dtype, shift, source.size, machine)
    if source.dtype is target.dtype is DType.INT8:
        limits = np.iinfo(source.dtype.numpy)
        values = np.arange(limits.min, limits.max + 1)
        scaled = shift_and_round(values, shift, rounding) if factor is None else values * factor
        table = saturate(scaled, np.int8)
        return machine.kernels.lookup_step(table, source.data.reshape(target.data.shape), target.data, rounding)
    if factor is None:
        return machine.kernels.requantize_step(source.data, target.data, shift, rounding)

    def step() -> None:
        target.data[...] = saturate(source.data.astype(np.int64) * factor, target.data.dtype).reshape(target.data.shape)

    return step


def _copy_step(source: TensorBase, target: TensorBase, machine: Machine) -> Step:
    if _address(source.data) == _address(target.data):
        return NOTHING
    return machine.kernels.move_step([(target.data, source.data.reshape(target.data.shape))])


def _address(array: NDArray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


class Assignment(Module):
    """An operator that is ``output.assign(input 0)``; further inputs of the node say nothing that the file has not."""

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        return assign_step(given(inputs, 0, "input"), outputs[0], machine)
