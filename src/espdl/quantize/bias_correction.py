"""Biases that make up for what rounding weights does to the mean of every output channel."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.graph import QuantGraph, Role
from espdl.quantize.parameters import parameter, to_integers, to_reals
from espdl.quantize.passes.tools import attribute, input_of
from espdl.quantize.scale import Scales


class BiasCorrection:
    """Corrects the biases of Conv and Gemm: ``b - (W_integer - W) mean(x)`` instead of ``b``.

    The mean over calibration data is kept for every element of x, as a layer with zero padding or a depthwise one needs it. In the mean
    over the data each output channel is then what it would be with the float weights; the exponent of a bias is so small that this costs
    nothing on the chip. Memory is that of the layers' inputs, once.

    Args:
        graph: with representations assigned; the runs are of its network.
        layers: names of the nodes to correct; all where empty.
    """

    def __init__(self, graph: QuantGraph, layers: Collection[str] = ()) -> None:
        self._nodes = [node for node in layers_with_bias(graph) if not layers or node.name in layers]
        self._sums: dict[str, NDArray] = {}
        self._count = 0

    @property
    def names(self) -> list[str]:
        """The tensors that :meth:`observe` needs."""
        return list(dict.fromkeys(node.inputs[0].name or "" for node in self._nodes))  # type: ignore[union-attr]  # they have inputs

    def observe(self, tensors: Mapping[str, NDArray]) -> None:
        """Takes in one run of the float network."""
        self._count += 1
        for name in self.names:
            array = tensors[name]
            known = self._sums.get(name)
            if known is None:
                self._sums[name] = array.astype(np.float32)
            else:
                known += array

    def apply(self, graph: QuantGraph, scales: Scales) -> int:
        """Puts the corrected biases into ``graph.adjusted``. Returns how many layers it changed.

        Args:
            graph: of the same nodes, with the final exponents of weights.
            scales: what became of tensors since the runs, by name.
        """
        nodes = {node.name: node for node in graph.nodes()}
        for node in (nodes[node.name] for node in self._nodes):
            weight, bias = node.inputs[1], node.inputs[2]
            info, values = graph.input_info(node, 1), parameter(graph, weight)
            old = parameter(graph, bias)
            assert weight is not None and bias is not None and info is not None and values is not None and old is not None
            error = to_reals(to_integers(values, info, graph.chip), info).astype(np.float64) - _original(weight)
            name = node.inputs[0].name or ""  # type: ignore[union-attr]  # as in names
            mean = self._sums[name].astype(np.float64) / self._count
            if name in scales:
                mean = scales[name].of(mean)
            shift = mean_response(node, error, mean)
            graph.adjusted[bias.name or ""] = (old.astype(np.float64) - shift.reshape(old.shape)).astype(np.float32)
        return len(self._nodes)


def mean_response(node: ir.Node, weight: NDArray, mean: NDArray) -> NDArray[np.float64]:
    """The mean of each output channel of a layer with ``weight`` and without bias, over the elements of an input ``mean``.

    Args:
        node: Conv or Gemm.
        weight: in the shape of the node's own.
        mean: the input, [batch, channels, ...].
    """
    if node.op_type == "Gemm":
        by_output = weight if attribute(node, "transB", 0) else weight.T
        return by_output @ mean.reshape(-1, by_output.shape[1]).mean(axis=0)
    taps = tap_means(node, weight.shape[2:], mean)
    if attribute(node, "group", 1) == 1:
        return np.einsum("oik,ik->o", weight.reshape(*weight.shape[:2], -1), taps)
    return np.einsum("ck,ck->c", weight.reshape(weight.shape[0], -1), taps)


def tap_means(node: ir.Node, kernel: tuple[int, ...], mean: NDArray) -> NDArray[np.float64]:
    """What each tap of a convolution sees in the mean over all output positions, zeros of the padding included: [channels, taps]."""
    spatial = len(kernel)
    pads = attribute(node, "pads", [0] * (2 * spatial))
    strides, dilations = attribute(node, "strides", [1] * spatial), attribute(node, "dilations", [1] * spatial)
    padded = np.pad(mean.mean(axis=0), [(0, 0), *((pads[axis], pads[axis + spatial]) for axis in range(spatial))])
    sizes = [(padded.shape[1 + axis] - dilations[axis] * (kernel[axis] - 1) - 1) // strides[axis] + 1 for axis in range(spatial)]
    found = np.empty((len(padded), *kernel))
    for tap in np.ndindex(*kernel):
        starts = [tap[axis] * dilations[axis] for axis in range(spatial)]
        window = tuple(
            slice(start, start + (size - 1) * stride + 1, stride)
            for start, size, stride in zip(starts, sizes, strides, strict=True)
        )
        found[(slice(None), *tap)] = padded[(slice(None), *window)].reshape(len(padded), -1).mean(axis=1)
    return found.reshape(len(padded), -1)


def layers_with_bias(graph: QuantGraph) -> list[ir.Node]:
    """Quantized Conv and Gemm with a constant weight and bias of their own."""
    return [node for node in graph.nodes() if _has_bias(graph, node)]


def _has_bias(graph: QuantGraph, node: ir.Node) -> bool:
    """Whether a node is a quantized layer with a weight and bias of its own."""
    if node.domain or node.op_type not in ("Conv", "Gemm") or attribute(node, "transA", 0):
        return False
    roles = (None, Role.WEIGHT, Role.BIAS)
    for index in (1, 2):
        value, info = input_of(node, index), graph.input_info(node, index)
        if value is None or info is None or info.role is not roles[index] or parameter(graph, value) is None:
            return False
        if len(list(value.uses())) != 1:
            return False
    bias = parameter(graph, node.inputs[2])
    shape = node.outputs[0].shape
    return bias is not None and shape is not None and bias.size == shape[1] and graph.input_info(node, 0) is not None


def _original(value: ir.Value) -> NDArray:
    assert value.const_value is not None
    return value.const_value.numpy().astype(np.float64)
