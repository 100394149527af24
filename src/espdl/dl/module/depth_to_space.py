"""DepthToSpace and SpaceToDepth, on channels-last activations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, given, input_shape, integer_attribute, text_attribute
from espdl.dl.module.contract import INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class _Rearrangement(Module, ABC):
    """One reshape, one transpose, one reshape."""

    quantization = Quantization(passive=True)
    layout = LayoutRule(Layout.CHANNELS_LAST)

    def configure(self) -> None:
        self.block = integer_attribute(self, "blocksize", 0)
        if self.block < 1:
            raise EspdlError(f"blocksize {self.block}", why="it must be at least 1")

    @abstractmethod
    def _split(self, shape: Sequence[int]) -> tuple[list[int], list[int]]:
        """The shape with the axes to be moved apart, and their new order."""

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        apart, order = self._split(x.shape)
        return x.reshape(apart).transpose(order).reshape(self.get_output_shape([list(x.shape)])[0])

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        common_dtype(self, (source, target), tuple(DType))
        apart, order = self._split(source.shape)
        moved = [apart[axis] for axis in order]
        return machine.kernels.move_step([(target.data.reshape(moved), source.data.reshape(apart).transpose(order))])


def _dcr_is_exact(node: NodeFacts) -> bool:
    mode = node.attributes.get("mode", "DCR")
    shape, block = node.input_shapes[0], node.attributes.get("blocksize", 1)
    return mode == "CRD" or shape is None or shape[1] == block**3


class DepthToSpace(_Rearrangement, op_type="DepthToSpace"):
    """Blocks of channels to blocks of pixels: [N, H, W, C * b * b] to [N, H * b, W * b, C].

    Attributes ``blocksize``; ``mode``: with ``CRD`` input channel ``c * b * b + row * b + column`` goes to channel c. With ``DCR`` the
    chip has ONNX's order only where C equals b (runtime spec 3.13); other nodes are refused.
    """

    contract = Contract(
        INTEGER_AND_FLOAT,
        ranks=(4,),
        limits=(
            Limit(
                "mode is CRD, or there are blocksize output channels",
                _dcr_is_exact,
                "reorder the channels of the convolution before it and use mode CRD",
            ),
        ),
    )

    def configure(self) -> None:
        super().configure()
        self.mode = text_attribute(self, "mode", "DCR")
        if self.mode not in ("DCR", "CRD"):
            raise EspdlError(f"mode {self.mode!r}", hint="DCR or CRD")

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if len(source) != 4 or source[3] % self.block**2:
            raise EspdlError(f"blocks of {self.block} x {self.block} in shape {source}", why="needs [N, H, W, C * block * block]")
        return [[source[0], source[1] * self.block, source[2] * self.block, source[3] // self.block**2]]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        channels = given(inputs, 0, "input").shape[-1] // self.block**2
        if self.mode == "DCR" and channels != self.block and not machine.strict_onnx:
            raise EspdlError(
                f"mode DCR with {channels} output channels",
                why=f"the chip's order is right only for as many channels as blocksize, {self.block}",
                hint="use mode CRD, or strict_onnx to see what ONNX says",
            )
        return super().bind(inputs, outputs, machine)

    def _split(self, shape: Sequence[int]) -> tuple[list[int], list[int]]:
        n, height, width, depth = shape
        block, channels = self.block, depth // self.block**2
        if self.mode == "CRD":
            return [n, height, width, channels, block, block], [0, 1, 4, 2, 5, 3]
        return [n, height, width, block, block, channels], [0, 1, 3, 2, 4, 5]


def _one_channel(node: NodeFacts) -> bool:
    shape = node.input_shapes[0]
    return shape is None or shape[1] == 1


class SpaceToDepth(_Rearrangement, op_type="SpaceToDepth"):
    """Blocks of pixels to blocks of channels: [N, H, W, C] to [N, H / b, W / b, C * b * b], the inverse of DepthToSpace CRD.

    Output channel ``c * b * b + row * b + column``. ONNX has ``(row * b + column) * C + c``: the same only for one channel. Shapes are
    those of the file, channels last.
    """

    contract = Contract(
        INTEGER_AND_FLOAT,
        ranks=(4,),
        limits=(
            Limit(
                "one input channel: the chip orders the channels unlike ONNX", _one_channel, "reorder the next layer's channels"
            ),
        ),
    )

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if len(source) != 4 or source[1] % self.block or source[2] % self.block:
            raise EspdlError(f"blocks of {self.block} x {self.block} in shape {source}", why="needs [N, H * block, W * block, C]")
        return [[source[0], source[1] // self.block, source[2] // self.block, source[3] * self.block**2]]

    def _split(self, shape: Sequence[int]) -> tuple[list[int], list[int]]:
        n, height, width, channels = shape
        block = self.block
        order = [0, 1, 3, 2, 4, 5] if self.strict_onnx else [0, 1, 3, 5, 2, 4]
        return [n, height // block, block, width // block, block, channels], order
