"""PRelu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.checks import common_dtype, given, input_shape, tensor_exponent
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Align, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization
from espdl.dl.module.sums import quietly
from espdl.dl.module.table import stored_table8, table_step
from espdl.dl.module.unary import Unary
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def _per_channel(node: NodeFacts) -> bool:
    if 1 not in node.constants:
        return False
    shape, slope = node.input_shapes[0], node.constants[1]
    return slope.size == 1 or (shape is not None and slope.size == shape[1] and slope.shape[-3:] == (shape[1], 1, 1))


class PRelu(Unary, op_type="PRelu"):
    """``x`` where it is not negative, else ``alpha * x``, with one alpha per channel (or one alpha).

    Inputs X [N, H, W, C] and the constant alpha [C, 1, 1]. A single alpha at 8 bits is a table.
    """

    contract = Contract(
        INTEGER_AND_FLOAT,
        ranks=(4,),
        limits=(
            Limit("the slope is a constant, one value or one per channel", _per_channel, "give the slope the shape [C, 1, 1]"),
        ),
    )
    layout = LayoutRule(Layout.CHANNELS_LAST)
    # The C code leaves the positive side as it is, so input and output share an exponent.
    quantization = Quantization(table=True, align=Align.INPUT_TO_OUTPUT)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if len(source) != 4:
            raise EspdlError(f"a tensor of shape {source}", why="the chip takes [N, H, W, C]", hint="add axes of one element")
        return [source]

    @quietly
    def float_forward(self, x: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
        return np.where(x >= 0, x, x * alpha.ravel())

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, slope, target = given(inputs, 0, "X"), given(inputs, 1, "slope"), outputs[0]
        dtype = common_dtype(self, (source, slope, target))
        if slope.size not in (1, source.shape[-1]):
            raise EspdlError(f"{slope.size} slopes for {source.shape[-1]} channels")
        if dtype is DType.FLOAT:

            def real_step() -> None:
                target.data[...] = self.float_forward(source.data, slope.data)

            return real_step
        if dtype is DType.INT8 and "lut" in self.attributes:
            return table_step(stored_table8(self, target), source, target, machine)
        return self._integer_step(source, slope, target, machine)

    def _integer_step(self, source: TensorBase, slope: TensorBase, target: TensorBase, machine: Machine) -> Step:
        output_shift = tensor_exponent(target) - tensor_exponent(source)
        slope_shift = output_shift - tensor_exponent(slope)
        slopes = slope.data.reshape(-1)
        return machine.kernels.prelu_step(source.data, slopes, target.data, output_shift, slope_shift, machine.chip.rounding)
