"""What a run computes with: a chip, one of its two arithmetics and a kernel backend."""

from __future__ import annotations

from dataclasses import dataclass

from espdl.chips import Chip
from espdl.dl.base import Kernels
from espdl.dtypes import Arithmetic, Int16Lut


@dataclass(frozen=True)
class Machine:
    """Everything an operator may ask about where it runs.

    Attributes:
        chip: its facts.
        arithmetic: ``SILICON`` (vector unit, the default of ``Model``) or ``REFERENCE`` (C code with wide accumulators).
        kernels: the NumPy or the native kernels.
        int16_lut: how 16-bit tables with a step are read.
        strict_onnx: whether operators give what ONNX says where ESP-DL does something else (see :mod:`espdl.dl.quirks`).
    """

    chip: Chip
    arithmetic: Arithmetic
    kernels: Kernels
    int16_lut: Int16Lut = Int16Lut.NEAREST
    strict_onnx: bool = False

    @property
    def is_silicon(self) -> bool:
        return self.arithmetic is Arithmetic.SILICON
