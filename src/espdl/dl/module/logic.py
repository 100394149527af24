"""And, Or, Xor, Not: of truth values, and of integers that stand for them (runtime spec 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import merged_shapes
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.binary import MERGED_RANK, Binary
from espdl.dl.module.checks import INTEGER_TYPES, common_dtype, given, input_shape
from espdl.dl.module.contract import INTEGER, Availability, Contract, Layout, LayoutRule, Quantization
from espdl.dtypes import DType, Inplace
from espdl.tensor import TensorBase

_TYPES = (DType.BOOL, *INTEGER_TYPES)


class _Logic(Binary):
    """Output and inputs have one type: bool, one byte of 0 or 1 on the chip, or integers whose exponents are not looked at."""

    default_inplace = Inplace.CHANGED_BUFFER
    contract = Contract(INTEGER, limits=(MERGED_RANK,), availability=Availability.UNREGISTERED)
    quantization = Quantization(float_inputs=frozenset({0, 1}), float_outputs=frozenset({0}), truth_values=True)
    types = _TYPES
    logical: ClassVar[np.ufunc]
    bitwise: ClassVar[np.ufunc]
    always_bitwise: ClassVar[bool] = False

    def float_forward(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        return self.logical(a, b)

    def integer_step(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> Step:
        bitwise = self.combines_bits(first, second, target, machine) and not machine.strict_onnx
        operation = self.bitwise if bitwise else self.logical

        def step() -> None:
            operation(first.data, second.data, out=target.data, casting="unsafe")

        return step

    def combines_bits(self, first: TensorBase, second: TensorBase, target: TensorBase, machine: Machine) -> bool:
        """Whether the chip combines bits: always in Xor, in the others where its vector unit computes the innermost axis."""
        if self.always_bitwise or not (machine.is_silicon and machine.chip.bitwise_logic):
            return self.always_bitwise
        innermost = max(shape[-1] for shape in merged_shapes(first.shape, second.shape))
        return innermost >= machine.chip.lanes(target.dtype.itemsize)


class And(_Logic, op_type="And"):
    """Whether ``a`` and ``b`` are not 0. The vector unit of some chips combines bits: the same for operands of 0 and 1."""

    logical, bitwise = np.logical_and, np.bitwise_and


class Or(_Logic, op_type="Or"):
    """Whether ``a`` or ``b`` is not 0. The vector unit of some chips combines bits: the same for operands of 0 and 1."""

    logical, bitwise = np.logical_or, np.bitwise_or


class Xor(_Logic, op_type="Xor"):
    """The bits in which ``a`` and ``b`` differ."""

    logical, bitwise = np.logical_xor, np.bitwise_xor
    always_bitwise = True


class Not(Module, op_type="Not"):
    """Whether the input is 0."""

    default_inplace = Inplace.CHANGED_BUFFER
    contract = Contract(INTEGER, availability=Availability.UNREGISTERED)
    quantization = Quantization(float_inputs=frozenset({0}), float_outputs=frozenset({0}), truth_values=True)
    layout = LayoutRule(Layout.FOLLOWS_INPUT)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        return [input_shape(input_shapes)]

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.logical_not(x)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), _TYPES)

        def step() -> None:
            np.equal(source.data, 0, out=target.data, casting="unsafe")

        return step
