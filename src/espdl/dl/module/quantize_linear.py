"""QuantizeLinear, DequantizeLinear, RequantizeLinear."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from espdl.dl.module.assign import Assignment
from espdl.dl.module.checks import input_shape
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit
from espdl.dtypes import Inplace


class QuantizeLinear(Assignment, op_type=("QuantizeLinear", "DequantizeLinear", "RequantizeLinear")):
    """Another type or exponent for the same values. Those of the tensors count; inputs 1 and 2 (scale, zero point) are not read."""

    default_inplace = Inplace.CHANGED_BUFFER
    contract = Contract(
        INTEGER_AND_FLOAT,
        limits=(Limit("only quantization adds this node", lambda facts: False, "export the network before it is quantized"),),
    )
    layout = LayoutRule(Layout.FOLLOWS_INPUT)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        return [input_shape(input_shapes)]

    def float_forward(self, x: NDArray[Any], *_: Any) -> NDArray[Any]:
        return x
