"""Pow and Mod: on integers computed in binary32 on every chip."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.binary import MERGED_RANK, Binary
from espdl.dl.module.checks import tensor_exponent
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Limit, NodeFacts, Quantization
from espdl.dtypes import Inplace
from espdl.rounding import dequantize, quantize
from espdl.tensor import TensorBase


class _RealBinary(Binary):
    """On integers ``sat(round(fl32(F(a * 2**ea, b * 2**eb) * 2**-eo)))`` (runtime spec 3.1)."""

    @abstractmethod
    def _real(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        """F in binary32, as the integer form uses it."""

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        exponents = [tensor_exponent(tensor) for tensor in (first, second, target)]
        rounding, dtype = machine.chip.rounding, target.dtype.numpy

        def step() -> None:
            with np.errstate(all="ignore"):
                result = self._real(dequantize(first.data, exponents[0]), dequantize(second.data, exponents[1]))
                target.data[...] = quantize(result, exponents[2], dtype, rounding)

        return step


class Pow(_RealBinary, op_type="Pow"):
    """``a ** b``. What a chip makes of a negative a with a fractional b on integers is undefined; here it is 0."""

    quantization = Quantization(prefers_float=True)

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return np.power(np.asarray(a, np.float64), np.asarray(b, np.float64)).astype(np.result_type(a, b))

    _real = float_forward


def _is_c_remainder(node: NodeFacts) -> bool:
    return node.attributes.get("fmod", 0) == 1


class Mod(_RealBinary, op_type="Mod"):
    """The remainder of C's ``fmod``, with the sign of a, whatever attribute ``fmod`` says. On integers a modulo 0 is 0.

    As ONNX has it the remainder has the sign of b where attribute ``fmod`` (0) is 0.
    """

    default_inplace = Inplace.CHANGED_BUFFER
    contract = Contract(
        INTEGER_AND_FLOAT,
        limits=(
            MERGED_RANK,
            Limit("attribute fmod is 1: the chip gives the remainder the sign of the dividend", _is_c_remainder, "set fmod to 1"),
        ),
    )

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            signed_as_divisor = self.strict_onnx and not self.attributes.get("fmod", 0)
            return np.mod(a, b) if signed_as_divisor else np.fmod(a, b)

    def _real(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return np.where(b == 0, 0, self.float_forward(a, b))
