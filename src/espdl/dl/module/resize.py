"""Resize, on channels-last activations (runtime spec 3.11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import InTurn, Taps, interpolate
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import common_dtype, given, input_shape, tensor_exponent, text_attribute
from espdl.dl.module.contract import Align, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization, constants
from espdl.dl.module.pool import BATCH
from espdl.dl.module.resize_onnx import TRANSFORMS, linear, nearest, positions
from espdl.dtypes import DType, QuantType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

MODES = ("nearest", "linear")
_ROUND = "round_prefer_floor"


def _text(node: NodeFacts, name: str, default: str) -> str:
    return str(node.attributes.get(name, default))


def _mode_is_known(node: NodeFacts) -> bool:
    return _text(node, "mode", "nearest") in MODES


def _nearest_floors(node: NodeFacts) -> bool:
    """The chip always rounds the source position down from the corner; other settings agree with it for whole factors only."""
    if _text(node, "mode", "nearest") != "nearest":
        return True
    transform = _text(node, "coordinate_transformation_mode", "half_pixel")
    if transform == "asymmetric" and _text(node, "nearest_mode", _ROUND) == "floor":
        return True
    source, target = node.input_shapes[0], node.output_shapes[0] if node.output_shapes else None
    if source is None or target is None:
        return False
    whole = all(b % a == 0 for a, b in zip(source[2:], target[2:], strict=True))
    # Half-pixel centres of a whole factor lie less than half a pixel from the centre of the pixel that the corner rule picks.
    return (
        whole and transform in ("half_pixel", "pytorch_half_pixel") and _text(node, "nearest_mode", _ROUND).startswith("round_")
    )


def _linear_transform(node: NodeFacts) -> bool:
    return _text(node, "mode", "nearest") != "linear" or _text(node, "coordinate_transformation_mode", "half_pixel") in (
        "half_pixel",
        "pytorch_half_pixel",
        "align_corners",
    )


def _stretches(node: NodeFacts) -> bool:
    return not node.attributes.get("antialias", 0) and _text(node, "keep_aspect_ratio_policy", "stretch") == "stretch"


def _spatial_only(node: NodeFacts) -> bool:
    source, target = node.input_shapes[0], node.output_shapes[0] if node.output_shapes else None
    return source is None or target is None or source[:2] == target[:2]


class Resize(Module, op_type="Resize"):
    """[1, H, W, C] or [1, W, C] to another height and width, 8 bits only.

    Inputs X, roi (not read), scales or sizes: constants in ONNX's axis order, channels before height. Attributes ``mode``: ``nearest``
    (from the corner, rounded down, whatever ``nearest_mode`` says) or ``linear``; ``coordinate_transformation_mode``:
    ``align_corners``, else half pixel, for ``linear``.
    """

    contract = Contract(
        frozenset({QuantType.SYMM_8BIT}),
        ranks=(3, 4),
        limits=(
            BATCH,
            Limit("mode is nearest or linear", _mode_is_known, "use linear instead of cubic"),
            Limit(
                "nearest positions are rounded down (asymmetric and floor, or half_pixel with whole factors)",
                _nearest_floors,
                "set coordinate_transformation_mode to asymmetric and nearest_mode to floor",
            ),
            Limit("linear positions are half_pixel or align_corners", _linear_transform, "use half_pixel"),
            Limit("no antialias, keep_aspect_ratio_policy stretch", _stretches, "set antialias to 0, write the sizes out"),
            Limit("only spatial axes are resized", _spatial_only, "transpose first, or repeat the other axes with Concat"),
            constants("scales or sizes are constants", 2),
        ),
    )
    quantization = Quantization(float_inputs=frozenset({1, 2, 3}), align=Align.INPUTS_TO_OUTPUT)
    layout = LayoutRule(Layout.CHANNELS_LAST)

    def configure(self) -> None:
        self.mode = text_attribute(self, "mode", "nearest")
        self.transform = text_attribute(self, "coordinate_transformation_mode", "half_pixel")
        self.align_corners = self.transform == "align_corners"
        self.nearest_mode = text_attribute(self, "nearest_mode", _ROUND)
        if self.mode not in MODES:
            raise EspdlError(f"mode {self.mode!r}", why="the chip resizes in modes " + ", ".join(MODES), hint="use linear")
        self.scales, self.sizes = self._constant(2), self._constant(3)
        if self.scales is None and self.sizes is None:
            raise EspdlError("neither scales nor sizes", why="one of them must be a constant")

    def _constant(self, index: int) -> NDArray[Any] | None:
        tensor = self.parameters.get(index)
        return None if tensor is None or tensor.size == 0 else np.asarray(tensor.data).ravel()

    def _extents(self, shape: Sequence[int]) -> list[tuple[int, np.float32]]:
        """Per spatial axis: the length of the output, and source pixels per target pixel."""
        rank = len(shape)
        numbers = self.scales if self.sizes is None else self.sizes
        assert numbers is not None
        if rank not in (3, 4) or len(numbers) != rank:
            raise EspdlError(f"{len(numbers)} scales or sizes for a tensor of shape {list(shape)}")
        result = []
        for length, number in zip(shape[1:-1], numbers[2:], strict=True):
            if self.sizes is not None:
                target, inverse = int(number), np.float32(length) / np.float32(max(int(number), 1))
            else:
                scale = np.float32(number)
                if not 0 < scale < 1e6:
                    raise EspdlError(f"a scale of {scale}")
                target, inverse = int(np.float32(length) * scale), np.float32(1) / scale
            if target < 1:
                raise EspdlError(f"an output of {target} rows or columns")
            result.append((target, inverse))
        return result

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        extents = self._extents(source)
        if source[0] != 1:
            raise EspdlError(f"a batch of {source[0]}", why="the chip resizes the first image only", hint="export with batch 1")
        return [[source[0], *(target for target, _ in extents), source[-1]]]

    def _nearest(self, length: int, target: int, inverse: np.float32) -> NDArray[np.intp]:
        positions = (np.arange(target, dtype=np.float32) * inverse).astype(np.intp)
        return np.minimum(positions, length - 1)

    def _linear(self, length: int, target: int, inverse: np.float32) -> Taps:
        at = np.arange(target, dtype=np.float32)
        if self.align_corners:
            position = at * np.float32(length - 1) / np.float32(max(target - 1, 1))
        else:
            position = (at + np.float32(0.5)) * inverse - np.float32(0.5)
        low = np.floor(position).astype(np.intp)
        ratio = (position - low).astype(np.float32)
        ratio[low < 0] = 0
        ratio[low >= length - 1] = 1
        low = np.clip(low, 0, max(length - 2, 0))
        return Taps(low, np.minimum(low + 1, length - 1), ratio)

    def float_forward(self, x: NDArray[Any], *_: Any) -> NDArray[Any]:
        if self.mode == "nearest":
            return x[np.ix_(*self._places(x.shape))]
        return interpolate(x, self._taps(x.shape))

    def _onnx_positions(self, shape: Sequence[int]) -> list[NDArray[np.float32]]:
        """Per spatial axis where ONNX reads the input."""
        found = []
        for axis, (target, _) in enumerate(self._extents(shape)):
            length = shape[1 + axis]
            scale = np.float32(target) / np.float32(length) if self.scales is None else np.float32(self.scales[2 + axis])
            found.append(positions(length, target, scale, self.transform))
        return found

    def departs_from_onnx(self, shape: Sequence[int]) -> bool:
        """Whether the chip reads an input of that shape elsewhere than ONNX does."""
        if self.transform not in TRANSFORMS:
            return True
        extents = zip(shape[1:-1], self._extents(shape), self._onnx_positions(shape), strict=True)
        if self.mode == "nearest":
            return any(
                not np.array_equal(self._nearest(length, *extent), nearest(at, length, self.nearest_mode))
                for length, extent, at in extents
            )
        pairs = [(self._linear(length, *extent), linear(at, length)) for length, extent, at in extents]
        return any(not np.allclose(chip.low + chip.ratio, onnx.low + onnx.ratio, atol=1e-4) for chip, onnx in pairs)

    def _taps(self, shape: Sequence[int]) -> list[Taps]:
        if self.strict_onnx:
            return [linear(at, length) for length, at in zip(shape[1:-1], self._onnx_positions(shape), strict=True)]
        return [self._linear(length, *extent) for length, extent in zip(shape[1:-1], self._extents(shape), strict=True)]

    def _places(self, shape: Sequence[int]) -> list[NDArray[np.intp]]:
        """Per axis the positions in the input that the output shows."""
        if self.strict_onnx:
            ats = zip(shape[1:-1], self._onnx_positions(shape), strict=True)
            spatial = [nearest(at, length, self.nearest_mode) for length, at in ats]
        else:
            spatial = [self._nearest(length, *extent) for length, extent in zip(shape[1:-1], self._extents(shape), strict=True)]
        return [np.arange(shape[0]), *spatial, np.arange(shape[-1])]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "X"), outputs[0]
        common_dtype(
            self, (source, target), (DType.INT8,), hint="give this node 8 bits, or upsample with a transposed convolution"
        )
        shift, rounding = tensor_exponent(target) - tensor_exponent(source), machine.chip.rounding
        if self.mode == "nearest":
            return self._nearest_step(source, target, shift, machine)
        taps = self._taps(source.shape)
        return machine.kernels.interpolate_step(source.data, target.data, taps, shift, rounding)

    def _nearest_step(self, source: TensorBase, target: TensorBase, shift: int, machine: Machine) -> Step:
        pick = machine.kernels.gather_step(source.data, target.data, self._places(source.shape))
        if shift == 0:
            return pick
        rescale = machine.kernels.requantize_step(target.data, target.data, shift, machine.chip.rounding)
        return InTurn([pick, rescale])
