"""The Reduce family: sums, means, norms, extrema and products over axes (runtime spec 3.9)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import (
    axes_in,
    common_dtype,
    constant_integers,
    given,
    input_shape,
    integer_attribute,
    tensor_exponent,
)
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization, constants
from espdl.dl.module.sums import sequential_product, sequential_sum, sqrt_newton
from espdl.dl.module.unary import exp, log
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError
from espdl.exponent import ExponentInfo
from espdl.rounding import Rounding, dequantize, quantize, saturate, shift_and_round
from espdl.tensor import TensorBase
from espdl.tensor_convert import convert

MAX_GROUPS = 4


def _axes_of(node: NodeFacts) -> list[int] | None:
    if 1 in node.constants:
        return [int(axis) for axis in np.asarray(node.constants[1]).ravel()]
    axes = node.attributes.get("axes")
    return None if axes is None else [int(axis) for axis in axes]


def _few_groups(node: NodeFacts) -> bool:
    shape, axes = node.input_shapes[0], _axes_of(node)
    return shape is None or not axes or _groups(len(shape), {axis % len(shape) for axis in axes}) <= MAX_GROUPS


def _really_reduces(node: NodeFacts) -> bool:
    return bool(_axes_of(node)) or not node.attributes.get("noop_with_empty_axes", 0)


def _groups(rank: int, axes: set[int]) -> int:
    """Number of runs of neighbouring axes that are all reduced or all kept."""
    return 1 + sum((i in axes) != (i - 1 in axes) for i in range(1, rank))


CONTRACT = Contract(
    INTEGER_AND_FLOAT,
    limits=(
        constants("the axes are constants", 1),
        Limit(
            "reduced and kept axes alternate at most 3 times",
            _few_groups,
            "reshape or transpose so that the reduced axes are neighbours",
        ),
        Limit("something is reduced", _really_reduces, "remove the node: with noop_with_empty_axes and no axes it does nothing"),
    ),
)


class _Reduce(Module, ABC):
    """Constant input 1: the axes, all when it is missing; attribute ``keepdims`` (1).

    Subclasses compute on rows: [outputs, reduced elements], each row in the order of memory.
    """

    default_inplace = Inplace.CHANGED_BUFFER
    contract: ClassVar[Contract] = CONTRACT
    quantization: ClassVar[Quantization] = Quantization(float_inputs=frozenset({1}))
    layout: ClassVar[LayoutRule] = LayoutRule(Layout.AXES, axes_inputs=(1,))

    def configure(self) -> None:
        self.axes = constant_integers(self, 1, "axes") or None
        self.keepdims = bool(integer_attribute(self, "keepdims", 1))
        self.is_noop = self.axes is None and bool(integer_attribute(self, "noop_with_empty_axes", 0))

    def _reduced(self, rank: int) -> list[int]:
        if self.is_noop:
            return []
        return sorted(axes_in(self.axes, rank)) if self.axes is not None else list(range(rank))

    def too_many_groups(self, rank: int) -> bool:
        """Whether reduced and kept axes alternate more often than the chip's loops can follow."""
        return _groups(rank, set(self._reduced(rank))) > MAX_GROUPS

    def _refuse_quirks(self, rank: int) -> None:
        """Raises :class:`EspdlError` where the chip leaves elements of the output as they lay in memory."""
        if self.is_noop:
            raise EspdlError(
                "no axes and noop_with_empty_axes",
                why="the chip writes the first element of the output only",
                hint="remove the node: it does nothing; or use strict_onnx to see what ONNX says",
            )
        if self.too_many_groups(rank):
            raise EspdlError(
                f"axes {self._reduced(rank)} of a tensor of rank {rank}",
                why="the chip computes nothing where reduced and kept axes alternate more than 3 times",
                hint="transpose first, or use strict_onnx to see what ONNX says",
            )

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        axes = self._reduced(len(source))
        if self.keepdims:
            return [[1 if i in axes else dim for i, dim in enumerate(source)]]
        return [[dim for i, dim in enumerate(source) if i not in axes] or [1]]

    def _rows(self, x: NDArray[Any]) -> NDArray[Any]:
        axes = self._reduced(x.ndim)
        kept = [i for i in range(x.ndim) if i not in axes]
        return x.transpose(*kept, *axes).reshape(-1, prod(x.shape[i] for i in axes))

    def float_forward(self, x: NDArray[Any], *_: Any) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return self._float(self._rows(x)).reshape(self.get_output_shape([list(x.shape)])[0])

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        dtype = common_dtype(self, (source, target))
        if not machine.strict_onnx:
            self._refuse_quirks(source.data.ndim)
        if dtype is not DType.FLOAT:
            return self._integer_step(source, target, machine)

        def step() -> None:
            with np.errstate(all="ignore"):
                target.data[...] = self._float(self._rows(source.data)).reshape(target.data.shape)

        return step

    @abstractmethod
    def _integer_step(self, source: TensorBase, target: TensorBase, machine: Machine) -> Step:
        """The step for int8 and int16."""

    @abstractmethod
    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Float32 rows [R, K] to [R]."""


def _accumulate(rows: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Integer sums of ``values`` in the accumulator of the type of ``rows``: 32 bits for int8, 64 for int16."""
    return values.sum(axis=1, dtype=_accumulator(rows))


def _accumulator(rows: NDArray[Any]) -> np.dtype:
    return np.dtype(np.int32 if rows.dtype == np.int8 else np.int64)


class _ByRows(_Reduce):
    """Reduces raw rows to raw results."""

    def _integer_step(self, source: TensorBase, target: TensorBase, machine: Machine) -> Step:
        exponents, rounding = (tensor_exponent(source), tensor_exponent(target)), machine.chip.rounding

        def step() -> None:
            with np.errstate(all="ignore"):
                result = self._integer(self._rows(source.data), *exponents, rounding)
            target.data[...] = result.reshape(target.data.shape)

        return step

    @abstractmethod
    def _integer(self, rows: NDArray[Any], input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        """Raw rows [R, K], int8 or int16, to the same type [R]."""


class _ShiftedSum(_ByRows):
    """A sum of ``x``, ``|x|`` or ``x * x``, shifted to the output's exponent with the chip's rounding."""

    power: ClassVar[int] = 1

    @abstractmethod
    def _terms(self, rows: NDArray[Any]) -> NDArray[Any]:
        """What is added up, [R, K]."""

    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        return sequential_sum(self._terms(rows), rows.dtype)

    def _integer(self, rows: NDArray[Any], input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        total = _accumulate(rows, self._terms(rows.astype(_accumulator(rows))))
        return saturate(shift_and_round(total, output_exponent - self.power * input_exponent, rounding), rows.dtype)


class ReduceSum(_ShiftedSum, op_type="ReduceSum"):
    """Sum."""

    def _terms(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows


class ReduceL1(_ShiftedSum, op_type="ReduceL1"):
    """Sum of magnitudes."""

    def _terms(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.abs(rows)


class ReduceSumSquare(_ShiftedSum, op_type="ReduceSumSquare"):
    """Sum of squares."""

    power = 2

    def _terms(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows * rows


class ReduceMean(_Reduce, op_type="ReduceMean"):
    """Mean: an exact integer sum, then one division in binary32."""

    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        return sequential_sum(rows, rows.dtype) / rows.dtype.type(rows.shape[1])

    def _integer_step(self, source: TensorBase, target: TensorBase, machine: Machine) -> Step:
        exponents = tensor_exponent(source), tensor_exponent(target)
        axes = self._reduced(source.data.ndim)
        return machine.kernels.mean_step(source.data, target.data, axes, *exponents, machine.chip.rounding)


class ReduceL2(_ByRows, op_type="ReduceL2"):
    """Root of the sum of squares, by the chip's Newton iteration."""

    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        return self._root(sequential_sum(rows * rows, rows.dtype)).astype(rows.dtype)

    def _root(self, squares: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.sqrt(squares) if self.strict_onnx else sqrt_newton(squares))

    def _integer(self, rows: NDArray[Any], input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        wide = rows.astype(_accumulator(rows))
        root = self._root(dequantize(_accumulate(rows, wide * wide), 2 * input_exponent))
        return quantize(root, output_exponent, rows.dtype, rounding)


class _Extremum(_ByRows):
    """Of raw integers: exponents are not looked at."""

    quantization = Quantization(float_inputs=frozenset({1}), passive=True)
    operation: ClassVar[np.ufunc]

    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        limits = np.finfo(rows.dtype)
        return self.operation.reduce(rows, axis=1, initial=limits.min if self.operation is np.maximum else limits.max)

    def _integer(self, rows: NDArray[Any], input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        return self.operation.reduce(rows, axis=1)


class ReduceMax(_Extremum, op_type="ReduceMax"):
    """Maximum."""

    operation = np.maximum


class ReduceMin(_Extremum, op_type="ReduceMin"):
    """Minimum."""

    operation = np.minimum


class ReduceProd(_ByRows, op_type="ReduceProd"):
    """Product of the real values: in binary32 for int8, in binary64 for int16."""

    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        return sequential_product(rows, rows.dtype)

    def _integer(self, rows: NDArray[Any], input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        if rows.dtype == np.int8:
            return quantize(sequential_product(dequantize(rows, input_exponent)), output_exponent, rows.dtype, rounding)
        product = sequential_product(np.ldexp(rows.astype(np.float64), input_exponent), np.float64)
        result = convert(product, DType.DOUBLE, ExponentInfo(), DType.INT16, ExponentInfo(output_exponent), rounding)
        assert result is not None
        return result


class ReduceLogSum(_ByRows, op_type="ReduceLogSum"):
    """Logarithm of the sum. On integers a sum of 0 gives the lowest value; what a chip makes of a negative one is undefined, here 0."""

    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        return log(sequential_sum(rows, rows.dtype))

    def _integer(self, rows: NDArray[Any], input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        total = dequantize(_accumulate(rows, rows), input_exponent)
        return quantize(log(total), output_exponent, rows.dtype, rounding)


class ReduceLogSumExp(_ByRows, op_type="ReduceLogSumExp"):
    """Logarithm of the sum of exponentials; the maximum is not subtracted first, unless ONNX's meaning is asked for."""

    def _float(self, rows: NDArray[Any]) -> NDArray[Any]:
        if self.strict_onnx:
            highest = rows.max(axis=1)
            return highest + log(sequential_sum(exp(rows - highest[:, None]), rows.dtype))
        return log(sequential_sum(exp(rows), rows.dtype))

    def _integer(self, rows: NDArray[Any], input_exponent: int, output_exponent: int, rounding: Rounding) -> NDArray[Any]:
        total = sequential_sum(exp(dequantize(rows, input_exponent)))
        return quantize(log(total), output_exponent, rows.dtype, rounding)
