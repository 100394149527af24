"""Pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, constant_integers, given, input_shape, optional, text_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization, constants
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from espdl.tensor_ops import PaddingMode, border_indices, pad_array, padded_shape

_MAX_CONSTANT_RANK = 4


def _mode_is_known(node: NodeFacts) -> bool:
    return node.attributes.get("mode", "constant") in list(PaddingMode)


def _pads_are_not_negative(node: NodeFacts) -> bool:
    return 1 not in node.constants or bool(np.all(np.asarray(node.constants[1]) >= 0))


def _no_axes(node: NodeFacts) -> bool:
    return len(node.input_shapes) < 4 or node.input_shapes[3] is None


class Pad(Module, op_type="Pad"):
    """A border around input 0. Attribute ``mode``: ``constant``, ``edge`` or ``reflect`` (without the border element itself).

    Inputs: 1, constant: elements before each axis, then behind each axis; 2, optional: the constant, an integer in the exponent of
    input 0 (0).
    """

    contract = Contract(
        INTEGER_AND_FLOAT,
        ranks=(1, 2, 3, 4, 5),
        limits=(
            Limit("mode is constant, edge or reflect", _mode_is_known, "use Slice and Concat to wrap"),
            constants("the pads are constants", 1, 1),
            Limit("the pads are not negative", _pads_are_not_negative, "crop with Slice"),
            Limit("all axes are listed", _no_axes, "list the pads of all axes and leave the axes input out"),
        ),
    )
    quantization = Quantization(float_inputs=frozenset({1, 3}), inputs_like_first=frozenset({2}), passive=True)
    layout = LayoutRule(Layout.AXES, per_axis_inputs=(1,))

    def configure(self) -> None:
        self.mode = PaddingMode.parse(text_attribute(self, "mode", "constant"))
        pads = constant_integers(self, 1, "pads")
        if pads is None:
            raise EspdlError("the pads must be a constant", hint="export the network with fixed sizes")
        if 3 in self.parameters:
            raise EspdlError("an axes input", why="the chip does not read it", hint="list the pads of all axes")
        self.pads = pads

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        result = padded_shape(source, self.pads)
        if self.mode is not PaddingMode.CONSTANT:
            border_indices(source, self.pads, self.mode)  # refuses a reflection that is too wide
        elif result[:-_MAX_CONSTANT_RANK] != source[:-_MAX_CONSTANT_RANK]:
            raise EspdlError(f"constant pads of axis 0 of a tensor of rank {len(source)}", why="the chip pads the last 4 axes")
        return [result]

    def float_forward(self, x: NDArray[Any], pads: Any = None, value: NDArray[Any] | None = None, *_: Any) -> NDArray[Any]:
        return pad_array(x, self.pads, self.mode, 0 if value is None else np.asarray(value).ravel()[0])

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        self.get_output_shape([source.shape])
        if self.mode is not PaddingMode.CONSTANT:
            indices = border_indices(source.shape, self.pads, self.mode)
            return machine.kernels.gather_step(source.data, target.data, [axis.reshape(-1) for axis in indices])
        value = optional(inputs, 2)
        if value is not None and value.size:
            common_dtype(self, (source, value), tuple(DType))
        inside = tuple(slice(before, before + extent) for before, extent in zip(self.pads, source.shape, strict=False))
        fill = value.data if value is not None and value.size else np.zeros(1, target.data.dtype)
        return machine.kernels.move_step([(target.data[inside], source.data)], (target.data, fill))
