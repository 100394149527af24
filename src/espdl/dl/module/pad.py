"""Pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, constant_integers, given, input_shape, optional, text_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

MODES = ("constant", "edge", "reflect")
_MAX_CONSTANT_RANK = 4


def _mode_is_known(node: NodeFacts) -> bool:
    mode = node.attributes.get("mode", "constant")
    return (mode.decode() if isinstance(mode, bytes) else mode) in MODES


def _pads_are_constant(node: NodeFacts) -> bool:
    return "pads" in node.attributes or 1 in node.constants


def _pads_are_not_negative(node: NodeFacts) -> bool:
    pads = node.constants.get(1, np.asarray(node.attributes.get("pads", [0])))
    return bool(np.all(np.asarray(pads) >= 0))


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
            Limit("the pads are constants", _pads_are_constant, "fold constants before quantizing"),
            Limit("the pads are not negative", _pads_are_not_negative, "crop with Slice"),
            Limit("all axes are listed", _no_axes, "list the pads of all axes and leave the axes input out"),
        ),
    )
    quantization = Quantization(float_inputs=frozenset({1, 3}), inputs_like_first=frozenset({2}), passive=True)
    layout = LayoutRule(Layout.AXES, per_axis_inputs=(1,))

    def configure(self) -> None:
        self.mode = text_attribute(self, "mode", "constant")
        pads = constant_integers(self, 1, "pads")
        if self.mode not in MODES:
            raise EspdlError(f"mode {self.mode!r}", why="the chip pads in modes " + ", ".join(MODES))
        if pads is None:
            raise EspdlError("the pads must be a constant", hint="fold constants before exporting")
        if len(pads) % 2 or min(pads, default=0) < 0:
            raise EspdlError(
                f"pads {pads}", why="one entry before and one behind each axis, none negative", hint="crop with Slice"
            )
        if 3 in self.parameters:
            raise EspdlError("an axes input", why="the chip does not read it", hint="list the pads of all axes")
        self.pads = pads

    def _per_axis(self, shape: Sequence[int]) -> list[tuple[int, int]]:
        rank = len(shape)
        if len(self.pads) != 2 * rank:
            raise EspdlError(f"{len(self.pads)} pads for a tensor of rank {rank}")
        pads = list(zip(self.pads[:rank], self.pads[rank:], strict=True))
        if self.mode == "reflect" and any(max(pad) >= dim for pad, dim in zip(pads, shape, strict=True) if max(pad)):
            raise EspdlError(f"pads {self.pads} reflect more than a tensor of shape {list(shape)} has")
        outer = rank - _MAX_CONSTANT_RANK
        if self.mode == "constant" and any(any(pad) for pad in pads[: max(outer, 0)]):
            raise EspdlError(f"constant pads of axis 0 of a tensor of rank {rank}", why="the chip pads the last 4 axes")
        return pads

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        return [[dim + sum(pad) for dim, pad in zip(source, self._per_axis(source), strict=True)]]

    def float_forward(self, x: NDArray[Any], pads: Any = None, value: NDArray[Any] | None = None, *_: Any) -> NDArray[Any]:  # type: ignore[override]
        if self.mode == "constant":
            fill = 0 if value is None else np.asarray(value).ravel()[0]
            return np.pad(x, self._per_axis(x.shape), constant_values=fill)
        return x[np.ix_(*self._indices(x.shape))]

    def _indices(self, shape: Sequence[int]) -> list[NDArray[np.intp]]:
        """Per axis the positions in the input that the output shows."""
        positions = []
        for dim, (before, behind) in zip(shape, self._per_axis(shape), strict=True):
            axis = np.arange(-before, dim + behind)
            if self.mode == "edge":
                axis = np.clip(axis, 0, dim - 1)
            else:
                axis = (dim - 1) - np.abs((dim - 1) - np.abs(axis))
            positions.append(axis)
        return positions

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        if self.mode != "constant":
            return machine.kernels.gather_step(source.data, target.data, self._indices(source.shape))
        value = optional(inputs, 2)
        if value is not None and value.size:
            common_dtype(self, (source, value), tuple(DType))
        inside = tuple(slice(pad[0], pad[0] + dim) for dim, pad in zip(source.shape, self._per_axis(source.shape), strict=True))
        fill = value.data if value is not None and value.size else np.zeros(1, target.data.dtype)
        return machine.kernels.move_step([(target.data[inside], source.data)], (target.data, fill))
