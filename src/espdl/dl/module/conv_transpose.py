"""ConvTranspose, which only float32 files hold: in quantized ones it is InsertZeros and Conv."""

from __future__ import annotations

from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module.base import Module
from espdl.dl.module.checks import input_shape, integer_attribute, integers_attribute, text_attribute
from espdl.dl.module.contract import Availability, Contract, Layout, LayoutRule
from espdl.dtypes import QuantType
from espdl.errors import EspdlError


class ConvTranspose(Module, op_type="ConvTranspose"):
    """Transposed convolution of [1, H, W, C] or [1, W, C] in binary32, the filter in ONNX order [C, N / group, KH, KW].

    Attributes: strides, dilations (1), pads, output_padding (0), group (1). ESP-DL refuses to load it.
    """

    contract: ClassVar[Contract] = Contract(frozenset({QuantType.FLOAT32}), ranks=(3, 4), availability=Availability.ABSENT)
    layout: ClassVar[LayoutRule] = LayoutRule(Layout.CHANNELS_LAST)

    def configure(self) -> None:
        self.group = integer_attribute(self, "group", 1)
        if self.group < 1:
            raise EspdlError(f"{self.group} groups")
        if text_attribute(self, "auto_pad", "NOTSET") not in ("NOTSET", "") or integers_attribute(self, "output_shape"):
            raise EspdlError("pads that depend on the input", hint="write them out as pads and output_padding")

    def _per_axis(self, name: str, default: int, count: int, lowest: int) -> list[int]:
        values = integers_attribute(self, name) or [default] * count
        if len(values) != count or min(values) < lowest:
            raise EspdlError(f"{name} {values}", why=f"{count} numbers of at least {lowest} fit")
        return values

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        x, weights = input_shape(input_shapes), input_shape(input_shapes, 1)
        if len(x) not in (3, 4) or len(weights) != len(x) or x[0] != 1 or weights[0] != x[-1] or x[-1] % self.group:
            raise EspdlError(
                f"an input of shape {x} and a filter of shape {weights} do not fit", why=f"{self.group} groups, batch must be 1"
            )
        spatial = len(x) - 2
        strides, dilations = self._per_axis("strides", 1, spatial, 1), self._per_axis("dilations", 1, spatial, 1)
        pads, more = self._per_axis("pads", 0, 2 * spatial, 0), self._per_axis("output_padding", 0, spatial, 0)
        extents = [
            (x[1 + i] - 1) * strides[i] + dilations[i] * (weights[2 + i] - 1) + 1 + more[i] - pads[i] - pads[spatial + i]
            for i in range(spatial)
        ]
        if min(extents) < 1:
            raise EspdlError(f"pads {pads} leave nothing of an input of shape {x}")
        return [[1, *extents, weights[1] * self.group]]

    def float_forward(self, *inputs: NDArray[np.float32] | None) -> NDArray[Any]:
        x, weights, bias = (*inputs, None)[:3]
        assert x is not None
        assert weights is not None
        shape = self.get_output_shape([list(x.shape), list(weights.shape)])[0]
        spatial = x.ndim - 2
        strides, dilations = self._per_axis("strides", 1, spatial, 1), self._per_axis("dilations", 1, spatial, 1)
        pads = self._per_axis("pads", 0, 2 * spatial, 0)
        full = np.zeros((*(s + pads[i] + pads[spatial + i] for i, s in enumerate(shape[1:-1])), shape[-1]), np.float32)
        grouped = x[0].reshape(*x.shape[1:-1], self.group, -1)
        taps = np.moveaxis(weights.reshape(self.group, -1, *weights.shape[1:]), (1, 2), (-2, -1))
        for position in product(*(range(extent) for extent in weights.shape[2:])):
            of_tap = np.moveaxis(taps, 0, -3)[position]
            part = (grouped[..., None, :] @ of_tap).reshape(*x.shape[1:-1], shape[-1])
            places = tuple(
                slice(k * d, k * d + (extent - 1) * s + 1, s)
                for k, d, s, extent in zip(position, dilations, strides, x.shape[1:-1], strict=True)
            )
            full[places] += part
        result = full[tuple(slice(pads[i], pads[i] + extent) for i, extent in enumerate(shape[1:-1]))]
        return (result if bias is None else result + bias).reshape(shape)
