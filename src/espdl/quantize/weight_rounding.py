"""Rounds weights up or down so that their errors cancel on real inputs, instead of each to its nearest integer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dl.base import get_kernels
from espdl.errors import EspdlError
from espdl.quantize.bias_correction import layers_with_bias
from espdl.quantize.graph import QuantGraph
from espdl.quantize.parameters import parameter
from espdl.quantize.passes.tools import attribute, name_of
from espdl.quantize.scale import Scale, Scales
from espdl.rounding import round_float
from espdl.wording import at_node

PATCHES = 16
"""Output positions of a small layer that one sample contributes at most, about."""

INPUTS_PER_PATCH = 4
"""Larger layers take one more for so many inputs, as their covariance has more numbers."""

DAMPING = 1e-3
BLOCK = 64


class WeightRounding:
    """Chooses the integers of weights, given their exponents, for the least error of each layer's output on calibration data.

    Weights are rounded one after the other, and what a weight loses is made up for by those not yet rounded, in the proportion in which
    their inputs vary together (Frantar and others, 2022, "GPTQ": with the Cholesky factor of the inverse covariance). The covariance is
    about the mean, as the mean error goes into the bias (:class:`espdl.quantize.bias_correction.BiasCorrection`), and includes the
    rounding noise of the inputs. Deterministic; costs nothing on the chip.

    Args:
        graph: with representations assigned; the runs are of its network.
        inputs: layers with more inputs per output than this are rounded to nearest: the work grows with the square, as does memory.
    """

    def __init__(self, graph: QuantGraph, inputs: int) -> None:
        self._layers = [_Inputs(graph, node) for node in layers_with_bias(graph) if _inputs_of(graph, node) <= inputs]

    @property
    def names(self) -> list[str]:
        """The tensors that :meth:`observe` needs."""
        return list(dict.fromkeys(layer.source for layer in self._layers))

    def observe(self, tensors: Mapping[str, NDArray]) -> None:
        """Takes in tensors of one run of the float network, all at once or some at a time."""
        for layer in self._layers:
            if (array := tensors.get(layer.source)) is not None:
                layer.add(array)

    def apply(self, graph: QuantGraph, scales: Scales) -> int:
        """Puts the chosen weights into ``graph.adjusted``. Returns how many layers it changed.

        Args:
            graph: of the same nodes, with the final exponents of weights.
            scales: what became of tensors since the runs, by name.
        """
        nodes = {node.name: node for node in graph.nodes()}
        for layer in self._layers:
            node = nodes[layer.node.name]
            value = node.inputs[1]
            assert value is not None
            graph.adjusted[value.name or ""] = layer.rounded(graph, node, scales.get(layer.source))
        return len(self._layers)


class _Inputs:
    """What the outputs of a layer are made of: second moments of its inputs, [groups, inputs, inputs], one group unless depthwise."""

    def __init__(self, graph: QuantGraph, node: ir.Node) -> None:
        self.node = node
        weight = parameter(graph, node.inputs[1])
        assert weight is not None
        self._kernel = weight.shape[2:]
        self._places: NDArray[np.int32] | None = None
        self._depthwise = node.op_type == "Conv" and attribute(node, "group", 1) != 1
        self._inputs = _inputs_of(graph, node)
        groups = len(weight) if self._depthwise else 1
        self._sum = np.zeros((groups, self._inputs))
        exactness = np.float64 if self._depthwise else np.float32  # of which large layers have 4096 inputs and more
        self._products: NDArray[Any] = np.zeros((groups, self._inputs, self._inputs), exactness)
        self._count = 0

    @property
    def source(self) -> str:
        return name_of(self.node.inputs[0])

    def add(self, array: NDArray) -> None:
        if self.node.op_type == "Gemm":
            self._add_columns(array.reshape(-1, array.shape[-1]).T)
            return
        if self._places is None:
            count = max(PATCHES, self._inputs // INPUTS_PER_PATCH)
            self._places = patch_places(self.node, self._kernel, array.shape[2:], count)
        rows, positions = array[0].reshape(array.shape[1], -1), self._places.shape[1]
        if self._depthwise:
            get_kernels().tap_moments(rows, self._places, self._sum, self._products)
            self._count += positions
        else:
            self._add_columns(gathered(rows, self._places).reshape(-1, positions))

    def _add_columns(self, seen: NDArray) -> None:
        """Adds the inputs of some outputs, [inputs, outputs], of a layer with one group."""
        with np.errstate(over="ignore", invalid="ignore"):  # told by rounded(), with the layer's name
            self._sum += seen.sum(axis=-1, dtype=np.float64)
            self._products += seen @ seen.T
        self._count += seen.shape[-1]

    def rounded(self, graph: QuantGraph, node: ir.Node, scale: Scale | None) -> NDArray[np.float32]:
        """The weight as the chosen integers stand for it, in a graph where the inputs have become ``scale``."""
        source, info = graph.input_info(node, 0), graph.input_info(node, 1)
        weight = parameter(graph, node.inputs[1])
        assert source is not None and info is not None and weight is not None
        transposed = node.op_type == "Gemm" and not attribute(node, "transB", 0)
        by_output = weight.T if transposed else weight
        mean = self._sum / self._count
        with np.errstate(over="ignore", invalid="ignore"):
            covariance = self._products / self._count - mean[..., :, None] * mean[..., None, :]
        if scale is not None:
            # Without its mean, a sum does not depend on offsets.
            taps = np.repeat(scale.factors, self._inputs * len(covariance) // len(scale.factors)).reshape(len(covariance), -1)
            covariance *= taps[:, :, None] * taps[:, None, :]
        if not np.isfinite(covariance).all():
            raise EspdlError(
                "its inputs are too large to be quantized",
                where=at_node(node.name, node.op_type),
                why="their squares are beyond binary32",
                hint="check the preprocessing of the calibration data",
            )
        noise = 4.0**source.exponent / 12 + DAMPING * np.trace(covariance, axis1=1, axis2=2) / covariance.shape[-1]
        covariance += noise[:, None, None] * np.eye(covariance.shape[-1])
        steps = np.ldexp(1.0, np.array(info.exponents))[:, None]
        rows = by_output.reshape(by_output.shape[0], -1) / steps
        limit = 2 ** (info.bits - 1)
        grouped = rows[:, None, :] if self._depthwise else rows[None]
        chosen = round_together(grouped, covariance, limit, graph).reshape(rows.shape) * steps
        shaped = chosen.reshape(by_output.shape)
        return np.ascontiguousarray(shaped.T if transposed else shaped, dtype=np.float32)


def round_together(rows: NDArray, covariance: NDArray[np.float64], limit: int, graph: QuantGraph) -> NDArray[np.float64]:
    """Integers for ``rows`` with a small ``(integers - rows) covariance (integers - rows)``.

    Args:
        rows: [groups, rows, inputs], weights in steps.
        covariance: [groups, inputs, inputs], positive definite.
        limit: integers are from -limit to limit - 1.
        graph: whose chip rounds.
    """
    order = np.argsort(-np.diagonal(covariance, axis1=1, axis2=2), axis=1, kind="stable")
    left = np.take_along_axis(rows.astype(np.float64), order[:, None, :], 2)
    ordered = np.take_along_axis(np.take_along_axis(covariance, order[:, :, None], 1), order[:, None, :], 2)
    # The lower factor of the inverse, transposed: row i says how the inputs after i make up for an error in i.
    factor = _factor(ordered)
    chosen = np.empty_like(left)
    inputs = left.shape[2]
    for start in range(0, inputs, BLOCK):
        end = min(start + BLOCK, inputs)
        errors = np.empty_like(left[:, :, start:end])
        for i in range(start, end):
            chosen[:, :, i] = np.clip(round_float(left[:, :, i], graph.chip.rounding), -limit, limit - 1)
            error = (left[:, :, i] - chosen[:, :, i]) / factor[:, i, i, None]
            left[:, :, i + 1 : end] -= error[:, :, None] * factor[:, None, i, i + 1 : end]
            errors[:, :, i - start] = error
        left[:, :, end:] -= errors @ factor[:, start:end, end:]
    result = np.empty_like(chosen)
    np.put_along_axis(result, np.broadcast_to(order[:, None, :], result.shape), chosen, 2)
    return result


def _factor(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower factor of the inverse, transposed, for finite [groups, inputs, inputs].

    Where inputs vary together so closely that binary64 finds no inverse, a share of their mean variance is added to the diagonal.
    """
    size = covariance.shape[-1]
    variance = np.trace(covariance, axis1=1, axis2=2)[:, None, None] / size
    for damping in (0.0, 1e-9, 1e-6, 1e-3):
        with suppress(np.linalg.LinAlgError):
            return np.linalg.cholesky(np.linalg.inv(covariance + damping * variance * np.eye(size))).swapaxes(1, 2)
    return np.eye(size) / np.sqrt(variance)  # each weight by itself


def gathered(rows: NDArray, places: NDArray[np.int32]) -> NDArray:
    """The elements of each row at some places, zeros where those are negative: [rows, *places.shape]."""
    return np.where(places < 0, np.float32(0), rows[:, np.maximum(places, 0)])


def patch_places(node: ir.Node, kernel: tuple[int, ...], size: tuple[int, ...], count: int) -> NDArray[np.int32]:
    """Where the inputs of about ``count`` outputs lie in a channel of ``size``, [taps, positions]; -1 for those in the padding."""
    spatial = len(kernel)
    pads = attribute(node, "pads", [0] * (2 * spatial))
    strides, dilations = attribute(node, "strides", [1] * spatial), attribute(node, "dilations", [1] * spatial)
    sizes = [
        (size[axis] + pads[axis] + pads[axis + spatial] - dilations[axis] * (kernel[axis] - 1) - 1) // strides[axis] + 1
        for axis in range(spatial)
    ]
    total = int(np.prod(sizes))
    distance = max(total // count, 1) | 1
    places = np.unravel_index(np.arange(distance // 2 % total, total, distance), sizes)
    taps = np.unravel_index(np.arange(int(np.prod(kernel))), kernel)
    flat, inside = np.zeros((len(taps[0]), len(places[0])), np.intp), np.ones((len(taps[0]), len(places[0])), bool)
    for axis in range(spatial):
        at = taps[axis][:, None] * dilations[axis] + places[axis] * strides[axis] - pads[axis]
        inside &= (at >= 0) & (at < size[axis])
        flat = flat * size[axis] + np.clip(at, 0, size[axis] - 1)
    return np.where(inside, flat, -1).astype(np.int32)


def _inputs_of(graph: QuantGraph, node: ir.Node) -> int:
    """Number of inputs that one output is computed from."""
    weight = parameter(graph, node.inputs[1])
    assert weight is not None
    outputs = weight.shape[0] if node.op_type == "Conv" or attribute(node, "transB", 0) else weight.shape[1]
    return weight.size // outputs
