"""Exponents of weights, biases and other constants, and their integers (quantizer spec 7.3, 7.7, 11.5)."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dtypes import DType
from espdl.quantize.graph import QuantGraph, QuantInfo, Role
from espdl.quantize.observers import create_observer
from espdl.quantize.passes.tools import constant
from espdl.rounding import round_float


def calibrate_parameters(graph: QuantGraph) -> None:
    """Sets the exponents of every weight and constant that has a representation of its own; biases have none."""
    for node in graph.nodes():
        for index, value in enumerate(node.inputs):
            info, array = graph.input_info(node, index), constant(value)
            if info is None or array is None or not info.is_root or info.role is Role.BIAS or info.has_exponents:
                continue
            observer = create_observer(info.observer, info.bits, info.axis)
            observer.observe(array)
            info.set_exponents(observer.exponents())


def parameter(graph: QuantGraph, value: ir.Value | None) -> NDArray | None:
    """The real values of a constant as they are to be quantized; None for any other value."""
    array = constant(value)
    return array if array is None or value is None else graph.adjusted.get(value.name or "", array)


def set_bias_exponents(graph: QuantGraph) -> None:
    """A bias is added to products of input and weight, so it has the sum of their exponents, per channel where the weight has."""
    for node in graph.nodes():
        bias, weight, source = (graph.input_info(node, index) for index in (2, 1, 0))
        if bias is not None and weight is not None and source is not None and bias.role is Role.BIAS:
            bias.set_exponents(tuple(source.exponent + exponent for exponent in weight.exponents))


def stored_type(bits: int) -> DType:
    """The type that integers of ``bits`` are stored in (quantizer spec 2.2: a 20-bit bias as int32, a 40-bit one as int64)."""
    return next(dtype for limit, dtype in _STORED if bits <= limit)


_STORED = ((8, DType.INT8), (16, DType.INT16), (32, DType.INT32), (64, DType.INT64))


BLOCK = 1 << 17
"""Numbers that are rounded at once, about: in binary64 they take far more memory than as integers."""


def to_integers(array: NDArray, info: QuantInfo, chip: Chip) -> NDArray[np.integer]:
    """``saturate(round(x * 2**-exponent))`` in the width of ``info``, with the chip's rounding, computed in binary64.

    Args:
        array: real values.
        info: its exponents are one, or one per entry of ``info.axis`` (of the only axis, for a bias).
        chip: its rounding counts.
    """
    exponents = _broadcast_exponents(info, array.ndim)
    if array.ndim < 2 or array.size <= BLOCK:
        return _integers(array, exponents, info.bits, chip)
    found = np.empty(array.shape, stored_type(info.bits).numpy)
    count = max(BLOCK * len(array) // array.size, 1)
    for start in range(0, len(array), count):
        rows = slice(start, start + count)
        few = exponents[rows] if exponents.ndim and len(exponents) > 1 else exponents
        found[rows] = _integers(array[rows], few, info.bits, chip)
    return found


def _integers(array: NDArray, exponents: NDArray[np.int32], bits: int, chip: Chip) -> NDArray[np.integer]:
    rounded = round_float(np.ldexp(array.astype(np.float64), -exponents), chip.rounding)
    highest = 2 ** (bits - 1) - 1
    if bits > 53:
        # The limits of the widest integers are no binary64 numbers: those beyond are set apart.
        inside = np.abs(rounded) < 2.0**62
        return np.where(inside, np.where(inside, rounded, 0).astype(np.int64), np.where(rounded > 0, highest, -highest - 1))
    return np.clip(rounded, -highest - 1, highest).astype(stored_type(bits).numpy)


def to_reals(integers: NDArray, info: QuantInfo) -> NDArray[np.float32]:
    """The real values that integers of ``info`` stand for."""
    found = integers.astype(np.float32)
    return np.ldexp(found, _broadcast_exponents(info, integers.ndim), out=found)


def _broadcast_exponents(info: QuantInfo, rank: int) -> NDArray[np.int32]:
    """The exponents, in a shape that broadcasts against a tensor of ``rank`` axes."""
    exponents = np.array(info.exponents, dtype=np.int32)
    if len(exponents) == 1:
        return exponents[0]
    return exponents.reshape([-1 if axis == (info.axis or 0) else 1 for axis in range(rank)])
