"""Runs one operator on arrays, and the arithmetic of the specification in exact Python numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import floor, prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from espdl.chips import get_chip
from espdl.dl.base import get_kernels
from espdl.dl.machine import Machine
from espdl.dl.module import MODULE_TYPES, Module
from espdl.dtypes import Arithmetic, DType
from espdl.rounding import Rounding
from espdl.tensor import TensorBase

TARGETS = ("c", "esp32s3", "esp32p4")
MACHINES = {
    (target, arithmetic): Machine(get_chip(target), arithmetic, get_kernels("numpy"))
    for target in TARGETS
    for arithmetic in Arithmetic
}


def machine(target: str = "esp32s3", arithmetic: Arithmetic = Arithmetic.REFERENCE) -> Machine:
    return MACHINES[target, arithmetic]


def tensor(values: Any, exponent: int = 0) -> TensorBase:
    array = np.asarray(values)
    return TensorBase(array.shape, array, exponent)


def make(op_type: str, constants: Mapping[int, TensorBase] | None = None, **attributes: Any) -> Module:
    return MODULE_TYPES[op_type]("node", attributes=attributes, parameters=constants or {}, op_type=op_type)


def run(
    module: Module,
    *inputs: TensorBase | None,
    exponent: int = 0,
    dtype: Any = None,
    on: Machine | None = None,
    in_place: bool = False,
    outputs: int = 1,
) -> Any:
    """Runs ``module``; constants of the module are put behind ``inputs`` or into their gaps.

    Args:
        exponent, dtype: of every output; the type of the first input by default.
        in_place: lays output 0 on the first variable input that is large enough, if any is.

    Returns:
        The array of output 0, or a list of all arrays where ``outputs`` is not 1.
    """
    everything = list(inputs)
    for index, constant in sorted(module.parameters.items()):
        everything += [None] * (index + 1 - len(everything))
        everything[index] = constant
    first = next(t for t in everything if t is not None)
    shapes = module.get_output_shape([t.shape if t is not None else [] for t in everything])
    assert len(shapes) == outputs
    element_type = first.dtype if dtype is None else DType.of(dtype)
    targets = [TensorBase(shape, None, exponent, element_type) for shape in shapes]
    if in_place:
        size = prod(shapes[0]) * element_type.itemsize
        variables = [t for i, t in enumerate(everything) if t is not None and i not in module.parameters]
        host = next((t for t in variables if t.data.nbytes >= size), None)
        if host is not None:
            targets[0].data = host.data.reshape(-1).view(np.uint8)[:size].view(element_type.numpy).reshape(shapes[0])
    module.run(everything, targets, machine=on or machine())
    return targets[0].data if outputs == 1 else [t.data for t in targets]


def fl32(value: float | Fraction) -> float:
    """Rounded to binary32."""
    with np.errstate(over="ignore"):
        return float(np.float32(float(value)))


def saturated(value: int, bits: int) -> int:
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, value))


def rounded(value: float | Fraction, rounding: Rounding) -> int:
    """A binary32 value or an exact fraction to an integer. Half-up on a float adds in binary32, as the chip does."""
    if rounding is Rounding.HALF_EVEN:
        return round(Fraction(value))
    return floor(fl32(value + 0.5)) if isinstance(value, float) else floor(value + Fraction(1, 2))


def shifted(value: int, shift: int, rounding: Rounding, bits: int) -> int:
    """``sat(round(value / 2**shift))``, exact."""
    return saturated(rounded(Fraction(value) / Fraction(2) ** shift, rounding), bits)


def quantized(value: float, exponent: int, rounding: Rounding, bits: int) -> int:
    """A binary32 value to an integer with ``exponent``."""
    if value != value:
        return 0
    scaled = fl32(value * 2.0**-exponent)
    if abs(scaled) == float("inf"):
        return saturated((1 if scaled > 0 else -1) << 40, bits)
    return saturated(rounded(scaled, rounding), bits)


def integers(dtype: Any, shape: Sequence[int]) -> st.SearchStrategy[np.ndarray]:
    """Arrays that hold the extremes often."""
    limits = np.iinfo(dtype)
    element = st.one_of(
        st.sampled_from([limits.min, limits.min + 1, -1, 0, 1, limits.max - 1, limits.max]), st.integers(limits.min, limits.max)
    )
    return st.lists(element, min_size=prod(shape), max_size=prod(shape)).map(lambda v: np.array(v, dtype=dtype).reshape(shape))


INTEGER_DTYPES = st.sampled_from([np.dtype(np.int8), np.dtype(np.int16)])
TARGET = st.sampled_from(TARGETS)
ARITHMETIC = st.sampled_from(list(Arithmetic))
IN_PLACE = st.booleans()
