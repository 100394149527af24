"""Biases that make up for what rounding weights does to the mean of every output channel."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.quantize.graph import QuantGraph, Role
from espdl.quantize.parameters import parameter, to_integers, to_reals
from espdl.quantize.passes.tools import attribute, input_of, name_of
from espdl.quantize.scale import Scale, Scales
from espdl.quantize.tap_means import TapMeans


class BiasCorrection:
    """Corrects the biases of Conv and Gemm: ``b - (W_integer - W) mean(x)`` instead of ``b``.

    The mean over calibration data is kept for every channel and tap of a kernel: near the border a tap sees the zeros of the padding. In
    the mean over the data each output channel is then what it would be with the float weights; the exponent of a bias is so small that
    this costs nothing on the chip.

    Args:
        graph: with representations assigned; the runs are of its network.
        layers: names of the nodes to correct; all where empty.
    """

    def __init__(self, graph: QuantGraph, layers: Collection[str] = ()) -> None:
        self._nodes = [node for node in layers_with_bias(graph) if not layers or node.name in layers]
        self._means = {node.name or "": _Means(graph, node) for node in self._nodes}

    @property
    def names(self) -> list[str]:
        """The tensors that :meth:`observe` needs."""
        return list(dict.fromkeys(map(_source, self._nodes)))

    def observe(self, tensors: Mapping[str, NDArray]) -> None:
        """Takes in tensors of one run of the float network, all at once or some at a time."""
        for node in self._nodes:
            if (array := tensors.get(_source(node))) is not None:
                self._means[node.name or ""].add(array)

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
            error = to_reals(to_integers(values, info, graph.chip), info)
            error -= _original(weight)
            shift = mean_response(node, error, self._means[node.name or ""].means(scales.get(_source(node))))
            graph.adjusted[bias.name or ""] = (old.astype(np.float64) - shift.reshape(old.shape)).astype(np.float32)
        return len(self._nodes)


class _Means:
    """What each tap of a layer sees in the mean over samples."""

    def __init__(self, graph: QuantGraph, node: ir.Node) -> None:
        weight = parameter(graph, node.inputs[1])
        assert weight is not None
        self._node = node
        self._kernel = weight.shape[2:]
        self._taps: TapMeans | None = None
        self._sum = np.zeros((1, 1))
        self._count = 0

    def add(self, array: NDArray) -> None:
        if self._taps is None:
            self._taps = TapMeans(self._node, self._kernel, array.shape[2:])
        self._sum = self._sum + self._taps.of(array)
        self._count += 1

    def means(self, scale: Scale | None) -> NDArray[np.float64]:
        """[channels, taps], where the input has become ``scale``; the zeros of the padding stay zeros."""
        assert self._taps is not None
        found = self._sum / self._count
        return found if scale is None else found * scale.factors[:, None] - self._taps.inside * scale.offsets[:, None]


def mean_response(node: ir.Node, weight: NDArray, taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each output channel of a layer with ``weight`` and without bias.

    Args:
        node: Conv or Gemm.
        weight: in the shape of the node's own.
        taps: :meth:`espdl.quantize.tap_means.TapMeans.of` its inputs.
    """
    if node.op_type == "Gemm":
        return np.asarray((weight if attribute(node, "transB", 0) else weight.T) @ taps[:, 0])
    by_output = weight.reshape(weight.shape[0], -1)
    if attribute(node, "group", 1) == 1:
        return np.asarray(by_output @ taps.reshape(-1))
    return np.einsum("ck,ck->c", by_output, taps)


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
    return value.const_value.numpy()


def _source(node: ir.Node) -> str:
    """Name of the tensor that a layer reads."""
    return name_of(node.inputs[0])
