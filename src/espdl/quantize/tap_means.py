"""What the taps of a layer's kernel see in the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.passes.tools import attribute

WHOLE = 1 << 16
"""Positions times taps up to which one matrix says what each position counts for each tap; for more, one axis after the other."""


class TapMeans:
    """The mean, over all output positions, of what each tap of a layer sees, zeros of the padding included.

    Args:
        node: Conv or Gemm; a Gemm has one tap.
        kernel: sizes of a convolution's kernel.
        sizes: of its input behind the channels.
    """

    def __init__(self, node: ir.Node, kernel: tuple[int, ...], sizes: tuple[int, ...]) -> None:
        self.inside: NDArray[np.float64] = np.ones((1, 1))
        """How much of what each tap sees is not padding, [1, taps]."""
        self._whole: NDArray[np.float32] | None = None
        if node.op_type == "Gemm":
            return
        shares = [_shares(node, size, kernel[axis], axis, len(kernel)) for axis, size in enumerate(sizes)]
        *leading, last = shares
        rest = _outer(leading)
        self.inside = _outer([share.sum(axis=1, keepdims=True) for share in shares]).T
        if rest.size * last.size <= WHOLE:
            self._whole = np.kron(rest, last).T.astype(np.float32)
        self._last = last.T.astype(np.float32)
        self._rest = np.kron(rest, np.eye(len(last))).T.astype(np.float32)

    def of(self, array: NDArray) -> NDArray[np.float64]:
        """[channels, taps] of one input, [batch, channels, ...]."""
        found = array[0] if len(array) == 1 else array.mean(axis=0, dtype=np.float64)
        if found.ndim == 1:
            return found[:, None].astype(np.float64)
        if self._whole is None:
            found = found.reshape(-1, len(self._last)) @ self._last
        rows = found.reshape(array.shape[1], -1)
        return (rows @ (self._rest if self._whole is None else self._whole)).astype(np.float64)


def _outer(matrices: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Their Kronecker product."""
    found: NDArray[Any] = np.ones((1, 1))
    for matrix in matrices:
        found = np.kron(found, matrix)
    return found


def _shares(node: ir.Node, size: int, taps: int, axis: int, spatial: int) -> NDArray[np.float64]:
    """Which share of the output positions along an axis lets each tap meet each element, [taps, size]."""
    pads = attribute(node, "pads", [0] * (2 * spatial))
    stride, dilation = (attribute(node, name, [1] * spatial)[axis] for name in ("strides", "dilations"))
    count = (size + pads[axis] + pads[axis + spatial] - dilation * (taps - 1) - 1) // stride + 1
    met = np.arange(taps)[:, None] * dilation + np.arange(count) * stride - pads[axis]
    return np.asarray((met[:, :, None] == np.arange(size)).sum(axis=1) / count)
