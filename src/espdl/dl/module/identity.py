"""Identity."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.assign import Assignment
from espdl.dl.module.checks import input_shape
from espdl.dl.module.contract import Layout, LayoutRule, Quantization
from espdl.dtypes import Inplace


class Identity(Assignment, op_type="Identity"):
    """The input under another name."""

    default_inplace = Inplace.UNCHANGED_BUFFER
    quantization = Quantization(passive=True)
    layout = LayoutRule(Layout.FOLLOWS_INPUT)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        return [input_shape(input_shapes)]

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return x
