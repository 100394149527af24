"""What lint rules look at: a loaded model, what its tensors can hold, and what they held when it ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.dl.base.kernels import LaneRule
from espdl.dl.module.mac import filter_tag, lane_rules, width_of
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.estimate.latency import estimate_latency
from espdl.fbs.packing import unpack_filter
from espdl.fbs.records import Node, Tensor, ValueInfo
from espdl.report.interop.subject import attribute, is_grouped
from espdl.report.lint.ranges import Range, integer_ranges


@dataclass(frozen=True)
class Filter:
    """A quantized Conv or Gemm, as its accumulators see it.

    Attributes:
        node: it. weights: int64 [K, N]: every product that an output channel sums, channel by channel.
        bias: int64 [N]. source: range of its input. lanes: accumulators by output channel.
        input_channels, output_channels: of one group.
    """

    node: Node
    weights: NDArray[np.int64]
    bias: NDArray[np.int64]
    source: Range
    lanes: tuple[LaneRule, LaneRule]
    input_channels: int
    output_channels: int
    depthwise: bool


class Subject:
    """A model to be linted.

    Args:
        model: loaded for its chip.
        seen: largest magnitude of each variable in runs on data, by name; empty without data.
        overflows: sums that left their lane in these runs, by node.
    """

    def __init__(self, model: Model, seen: Mapping[str, int], overflows: Mapping[str, int]) -> None:
        self.model, self.seen, self.overflows = model, seen, overflows
        self.graph = model.fbs_model.record.graph
        self.chip = model.chip
        self.constants: dict[str, Tensor] = {tensor.name: tensor for tensor in self.graph.initializer}
        self.values: dict[str, ValueInfo] = {v.name: v for v in (*self.graph.value_info, *self.graph.output, *self.graph.input)}
        self.types = {name: value.data_type for name, value in self.values.items()}
        self.exponents = {name: value.exponents[0] for name, value in self.values.items() if value.exponents}

    @cached_property
    def ranges(self) -> dict[str, Range]:
        return integer_ranges(self.graph.node, self.types, self.exponents, self.constants)

    @cached_property
    def consumers(self) -> dict[str, list[Node]]:
        """Nodes by the names that they read."""
        found: dict[str, list[Node]] = {}
        for node in self.graph.node:
            for name in dict.fromkeys(filter(None, node.input)):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def producers(self) -> dict[str, Node]:
        return {name: node for node in self.graph.node for name in node.output if name}

    def range_of(self, name: str) -> Range:
        """What a variable can hold."""
        limits = np.iinfo(np.int16 if self.types.get(name) is DType.INT16 else np.int8)
        return self.ranges.get(name, (int(limits.min), int(limits.max)))

    @cached_property
    def filters(self) -> list[Filter]:
        """Of every Conv and Gemm on integers with constant weights."""
        return list(self._filters())

    @cached_property
    def shares(self) -> dict[str, float]:
        """Estimated share of the latency, 0 to 1, by node, on the usual module; empty where there is no estimate."""
        try:
            return {layer.name: layer.share for layer in estimate_latency(self.model).layers}
        except EspdlError:  # the chip does not load the model: of a time nothing can be said
            return {}

    def share_text(self, node: Node) -> str:
        """``, in 12.3% of the estimated latency``: what a node costs, to be put behind a sentence."""
        return f", in {self.shares[node.name]:.1%} of the estimated latency" if node.name in self.shares else ""

    def _filters(self) -> Iterator[Filter]:
        for node in self.graph.node:
            if (
                node.op_type not in ("Conv", "Gemm")
                or attribute(node, "quant_type") == "F32"
                or node.input[1] not in self.constants
            ):
                continue
            weight = self.constants[node.input[1]]
            x = self.model.get_intermediate(node.input[0])
            width, depthwise = width_of(x), is_grouped(node)
            tensor = self.model.fbs_model.get_parameter(node.input[1])
            tag = filter_tag(tensor, self.chip, width)
            filters = unpack_filter(weight.data, weight.dims, tag, depthwise).astype(np.int64)
            channels = filters.shape[-1]
            rows = filters.reshape(-1, channels)
            bias = self.constants.get(node.input[2]) if len(node.input) > 2 else None
            yield Filter(
                node=node,
                weights=rows,
                bias=np.zeros(channels, np.int64) if bias is None else bias.data.reshape(-1).astype(np.int64),
                source=self.range_of(node.input[0]),
                lanes=lane_rules(self.chip, width, channels, depthwise=depthwise),
                input_channels=1 if depthwise else filters.shape[-2],
                output_channels=channels,
                depthwise=depthwise,
            )
