"""AveragePool, GlobalAveragePool, MaxPool, on channels-last activations (runtime spec 3.10)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base.steps import WindowAxis, slide
from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import (
    NUMBER_TYPES,
    common_dtype,
    given,
    input_shape,
    integers_attribute,
    tensor_exponent,
)
from espdl.dl.module.contract import INTEGER, INTEGER_AND_FLOAT, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization
from espdl.dl.module.sums import quietly
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def _batch_is_one(node: NodeFacts) -> bool:
    shape = node.input_shapes[0]
    return shape is None or shape[0] == 1


def _floors(node: NodeFacts) -> bool:
    """Whether ceil_mode changes nothing: every window fits without remainder, or it is 0."""
    shape = node.input_shapes[0]
    if not node.attributes.get("ceil_mode", 0) or shape is None:
        return not node.attributes.get("ceil_mode", 0)
    kernel = list(node.attributes["kernel_shape"])
    rank = len(kernel)
    pads = list(node.attributes.get("pads") or [0] * 2 * rank)
    strides = list(node.attributes.get("strides") or [1] * rank)
    return all((shape[2 + i] + pads[i] + pads[rank + i] - kernel[i]) % strides[i] == 0 for i in range(rank))


def _no_dilations(node: NodeFacts) -> bool:
    return all(d == 1 for d in node.attributes.get("dilations") or [1])


def _explicit_pads(node: NodeFacts) -> bool:
    return node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")


def _counts_pads(node: NodeFacts) -> bool:
    return bool(node.attributes.get("count_include_pad", 0)) or not any(node.attributes.get("pads") or [0])


def _one_output(node: NodeFacts) -> bool:
    return len(node.output_shapes) < 2


BATCH = Limit("batch is 1", _batch_is_one, "export the network with batch 1")
_WINDOW_LIMITS = (
    BATCH,
    Limit("ceil_mode is 0 or changes nothing", _floors, "pad the input so that the windows fit"),
    Limit("no dilations", _no_dilations, "pool with a larger kernel: the chip reads every pixel of a window"),
    Limit("auto_pad is not used", _explicit_pads, "write the pads out"),
)


class _Pool(Module, ABC):
    layout: ClassVar[LayoutRule] = LayoutRule(Layout.CHANNELS_LAST)

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        source = input_shape(input_shapes)
        if len(source) not in (3, 4):
            raise EspdlError(f"a tensor of shape {source}", why="pooling takes [1, W, C] or [1, H, W, C]")
        if source[0] != 1:
            raise EspdlError(f"a batch of {source[0]}", why="the chip pools the first image only", hint="export with batch 1")
        axes = self._axes(source)
        if len(axes) != len(source) - 2:
            raise EspdlError(f"a kernel of {len(axes)} axes for a tensor of shape {source}")
        spatial = [axis.outputs(length) for axis, length in zip(axes, source[1:-1], strict=True)]
        if min(spatial) < 1:
            raise EspdlError(f"the kernel is larger than its padded input of shape {source}")
        return [[1, *spatial, source[-1]]]

    @abstractmethod
    def _axes(self, shape: Sequence[int]) -> list[WindowAxis]:
        """How the window moves along each spatial axis of an input of that shape."""

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        source, target = given(inputs, 0, "input"), outputs[0]
        if len(outputs) != 1:
            raise EspdlError(f"{len(outputs)} outputs", why="the chip writes no indices")
        dtype = common_dtype(self, (source, target), NUMBER_TYPES, hint="quantize the network to 8 or 16 bits")
        self.get_output_shape([list(source.shape)])
        return self._step(source, target, dtype, machine)

    @abstractmethod
    def _step(self, source: TensorBase, target: TensorBase, dtype: DType, machine: Machine) -> Step:
        """The step for tensors of that type."""


class _Window(_Pool):
    """Attributes ``kernel_shape``, ``strides`` (1), ``pads`` (0; ONNX order). Others are not read by the chip."""

    def configure(self) -> None:
        kernel = integers_attribute(self, "kernel_shape")
        strides = integers_attribute(self, "strides") or [1] * len(kernel)
        pads = integers_attribute(self, "pads") or [0] * 2 * len(kernel)
        if len(kernel) not in (1, 2) or len(strides) != len(kernel) or len(pads) != 2 * len(kernel):
            raise EspdlError(
                f"kernel_shape {kernel}, strides {strides}, pads {pads}", why="needs 1 or 2 spatial axes, pads for both ends"
            )
        if min(*kernel, *strides) < 1 or min(pads) < 0:
            raise EspdlError(f"kernel_shape {kernel}, strides {strides}, pads {pads}", why="sizes start at 1, pads at 0")
        self.windows = [
            WindowAxis(k, s, pads[i], pads[len(kernel) + i]) for i, (k, s) in enumerate(zip(kernel, strides, strict=True))
        ]

    def _axes(self, shape: Sequence[int]) -> list[WindowAxis]:
        return self.windows


class _Average(_Pool):
    def _area(self, shape: Sequence[int]) -> int:
        return int(np.prod([axis.kernel for axis in self._axes(shape)]))

    @quietly
    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        total = slide(x, self._axes(x.shape), np.add, 0)
        if self.strict_onnx and not self.attributes.get("count_include_pad", 0):
            return total / slide(np.ones_like(x), self._axes(x.shape), np.add, 0)
        return total * total.dtype.type(1 / self._area(x.shape))

    def _step(self, source: TensorBase, target: TensorBase, dtype: DType, machine: Machine) -> Step:
        if dtype is DType.FLOAT:

            def mean() -> None:
                target.data[...] = self.float_forward(source.data)

            return mean
        shift = tensor_exponent(target) - tensor_exponent(source)
        share = np.float32(1 / self._area(source.shape))
        axes = self._axes(source.shape)
        return machine.kernels.average_pool_step(source.data, target.data, axes, share, shift, machine.chip.rounding)


class AveragePool(_Average, _Window, op_type="AveragePool"):
    """Mean over a window; pads count as zeros: the divisor is always the size of the kernel."""

    contract = Contract(
        INTEGER_AND_FLOAT,
        ranks=(3, 4),
        limits=(
            *_WINDOW_LIMITS,
            Limit("pads are counted: count_include_pad is 1, or there are no pads", _counts_pads, "set count_include_pad to 1"),
        ),
    )


class GlobalAveragePool(_Average, op_type="GlobalAveragePool"):
    """Mean over all pixels of a channel."""

    contract = Contract(INTEGER_AND_FLOAT, ranks=(3, 4), limits=(BATCH,))

    def _axes(self, shape: Sequence[int]) -> list[WindowAxis]:
        return [WindowAxis(length, 1, 0, 0) for length in shape[1:-1]]


class MaxPool(_Window, op_type="MaxPool"):
    """Maximum over a window, of raw integers; pads are never the maximum. ESP-DL has no float32 form of it; here files with one run."""

    contract = Contract(
        INTEGER,
        ranks=(3, 4),
        limits=(
            *_WINDOW_LIMITS,
            Limit("the indices output is not used", _one_output, "find the indices in the program behind the network"),
        ),
    )
    quantization = Quantization(passive=True)

    def float_forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return slide(x, self.windows, np.maximum, np.finfo(x.dtype).min)

    def _step(self, source: TensorBase, target: TensorBase, dtype: DType, machine: Machine) -> Step:
        if dtype is DType.FLOAT:

            def largest() -> None:
                target.data[...] = self.float_forward(source.data)

            return largest
        return machine.kernels.max_pool_step(source.data, target.data, self.windows)
