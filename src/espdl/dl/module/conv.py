"""Conv: standard and depthwise convolution in one and two dimensions (runtime spec 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base import Window
from espdl.dl.base.patches import padded, patches, tiles
from espdl.dl.machine import Machine
from espdl.dl.module.base import Step
from espdl.dl.module.checks import integer_attribute, integers_attribute
from espdl.dl.module.contract import INTEGER, Contract, Layout, LayoutRule, Limit, NodeFacts, Quantization, constants
from espdl.dl.module.mac import MacModule, filter_tag, mac_step, width_of
from espdl.dl.quirk import Site
from espdl.dl.quirk_sites import pads_in_c_code
from espdl.dtypes import Activation
from espdl.errors import EspdlError
from espdl.fbs.packing import unpack_filter
from espdl.tensor import TensorBase


def _group_runs(facts: NodeFacts) -> bool:
    group = facts.attributes.get("group", 1)
    x, w = facts.input_shapes[0], facts.input_shapes[1]
    return group == 1 or (x is not None and w is not None and len(x) > 1 and group == x[1] == w[0] and w[1] == 1)


def _pads_fit(facts: NodeFacts) -> bool:
    pads = facts.attributes.get("pads") or [0]
    return min(pads) >= 0


class Conv(MacModule, op_type="Conv"):
    """Convolution of [1, H, W, C] or [1, W, C] with a constant filter, fused with bias and Relu.

    Attributes:
        depthwise: whether the node has groups; each output channel then reads the input channel of its number.
        spatial: 1 or 2.
        window: strides, dilations and pads in two dimensions; a 1D convolution has height 1.
    """

    contract: ClassVar[Contract] = Contract(
        INTEGER,
        ranks=(3, 4),
        narrow_weights=True,
        limits=(
            constants("the filter is a constant", 1, 1, remedy="use MatMul where the network computes the weights"),
            constants("the bias is a constant", 2, remedy="put an Add behind the node"),
            Limit(
                "group is 1, or the number of input and of output channels",
                _group_runs,
                "replace it by one Conv per group between Split and Concat",
            ),
            Limit(
                "auto_pad is NOTSET",
                lambda facts: facts.attributes.get("auto_pad", "NOTSET") in ("NOTSET", ""),
                "write the padding as pads",
            ),
            Limit("pads are not negative", _pads_fit, "put a Slice before the node"),
            Limit(
                "the batch is 1",
                lambda facts: facts.input_shapes[0] is None or facts.input_shapes[0][0] == 1,
                "export with batch 1",
            ),
        ),
    )
    quantization: ClassVar[Quantization] = Quantization(computing=True, weight_channel_axis=lambda attributes: 0)
    layout: ClassVar[LayoutRule] = LayoutRule(Layout.CHANNELS_LAST)

    def configure(self) -> None:
        super().configure()
        dims = self.constant(1, "filter").shape
        if len(dims) not in (3, 4):
            raise EspdlError(f"a filter of shape {dims} is neither one- nor two-dimensional")
        self.spatial = len(dims) - 2
        self.group = integer_attribute(self, "group", 1)
        self.depthwise = self.group != 1
        if self.depthwise and not self.is_float and (dims[-1] != 1 or self.group != dims[-2]):
            raise EspdlError(
                f"a convolution with {self.group} groups and a filter of shape {dims} does not run on the chips",
                why="group must be 1 or the number of channels, with one output channel each",
                hint="replace it by one Conv per group between Split and Concat",
            )
        self.window = self._window()

    def _window(self) -> Window:
        strides, dilations = self._per_axis("strides", 1), self._per_axis("dilations", 1)
        pads = integers_attribute(self, "pads") or [0] * (2 * self.spatial)
        if len(pads) != 2 * self.spatial:
            raise EspdlError(f"{len(pads)} pads do not fit a convolution in {self.spatial} dimensions")
        if self.spatial == 1:
            return Window((1, strides[0]), (1, dilations[0]), (0, 0, pads[0], pads[1]))
        top, left, bottom, right = pads
        return Window((strides[0], strides[1]), (dilations[0], dilations[1]), (top, bottom, left, right))

    def _per_axis(self, name: str, default: int) -> list[int]:
        values = integers_attribute(self, name) or [default] * self.spatial
        if len(values) != self.spatial:
            raise EspdlError(f"{len(values)} {name} do not fit a convolution in {self.spatial} dimensions")
        return values

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        x, dims = input_shapes[0], input_shapes[1]
        if len(x) != self.spatial + 2 or x[0] != 1:
            raise EspdlError(
                f"an input of shape {x} does not fit a convolution in {self.spatial} dimensions", hint="the batch must be 1"
            )
        if self.is_float:
            channels, outputs, kernel = dims[1] * self.group, dims[0], dims[2:]
        elif self.depthwise:
            channels, outputs, kernel = dims[-2], dims[-2], dims[:-2]
        else:
            channels, outputs, kernel = dims[-2], dims[-1], dims[:-2]
        if channels != x[-1]:
            raise EspdlError(f"the filter reads {channels} channels, the input has {x[-1]}", why=f"filter {dims}, input {x}")
        height = x[1] if self.spatial == 2 else 1
        rows, columns = self.window.output_extent(height, x[-2], (kernel[0] if self.spatial == 2 else 1, kernel[-1]))
        return [[1, rows, columns, outputs] if self.spatial == 2 else [1, columns, outputs]]

    def float_forward(self, *inputs: NDArray[np.float32] | None) -> NDArray:
        """In binary32: [1, H, W, C] or [1, W, C], the filter in ONNX order [N, C / group, KH, KW], any number of groups."""
        x, weights, bias = (*inputs, None)[:3]
        assert x is not None
        assert weights is not None
        image = x.reshape(-1, *x.shape[-2:]) if self.spatial == 2 else x.reshape(1, *x.shape[-2:])
        filters = weights if self.spatial == 2 else weights[:, :, None]
        outputs, depth, *kernel = filters.shape
        rows, columns = extent = self.window.output_extent(image.shape[0], image.shape[1], (kernel[0], kernel[1]))
        source = padded(image, self.window, np.dtype(np.float32), rows * columns * outputs)
        view = patches(source, self.window, (kernel[0], kernel[1]), extent).reshape(rows, columns, *kernel, self.group, depth)
        grouped = filters.reshape(self.group, outputs // self.group, depth, *kernel)
        result = np.empty((rows, columns, outputs), np.float32)
        for tile in tiles(extent, max(outputs, filters[0].size * self.group)):
            sums = np.einsum("rcijgd,gndij->rcgn", view[tile], grouped, optimize=True)
            result[tile] = sums.reshape(*sums.shape[:2], outputs)
        if bias is not None:
            result = result + bias
        if self.activation is Activation.RELU:
            result = np.maximum(result, np.float32(0))
        return result.reshape(1, *([rows] if self.spatial == 2 else []), columns, outputs)

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase], machine: Machine) -> Step:
        if self.is_float:
            return super().bind(inputs, outputs, machine)
        x, y = inputs[0], outputs[0]
        assert x is not None
        if pads_in_c_code(Site(self, inputs, outputs, machine)):
            self._warn("with these pads the chip reads other pixels than zeros, which ones is not known; zeros are taken")
        tensor = self.constant(1, "filter")
        bias = self.optional_bias(inputs)
        tag = filter_tag(tensor, machine.chip, width_of(x))
        weights = unpack_filter(tensor.data, tensor.shape, tag, self.depthwise)
        if self.spatial == 1:
            weights = weights[None]
        kernel = machine.kernels.conv2d(
            self.make_filter(weights, tensor, bias, x, y, machine, depthwise=self.depthwise), self.window
        )
        image = (1, *([1] if self.spatial == 1 else []), *x.shape[1:])
        result = (1, *([1] if self.spatial == 1 else []), *y.shape[1:])
        expected = self.get_output_shape([x.shape, tensor.shape])[0]
        if y.shape != expected or prod(image) != x.size:
            raise EspdlError(
                f"an output of shape {y.shape} does not fit", why=f"it is {expected} for an input of shape {x.shape}"
            )

        self.watch(kernel)
        return mac_step(kernel, x.data.reshape(image), y.data.reshape(result))
