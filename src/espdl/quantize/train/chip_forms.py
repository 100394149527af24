"""What the chip computes where it is not the float function, rounded: tables of 16-bit operators, attention on integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
import torch

from espdl.dl.module.attention import Attention
from espdl.dl.module.attention_rules import attend8, attend16
from espdl.dl.module.table import TABLE16_ENTRIES
from espdl.quantize.facts import attributes_of
from espdl.quantize.graph import QuantGraph
from espdl.quantize.tables import LoweringOptions, looked_up, table
from espdl.quantize.train.fake_quant import round_integers_
from espdl.quantize.train.places import Place, Scales

ChipForm: TypeAlias = Callable[..., torch.Tensor]
"""Takes what the float function takes; gives the values of the chip's integers, without gradients."""


def chip_form(graph: QuantGraph, node: ir.Node, scales: Scales, options: LoweringOptions) -> ChipForm | None:
    """The form of a node; None where the float function, rounded, is the same."""
    bits = graph.bits[node.name or ""]
    infos = [graph.input_info(node, 0), graph.output_info(node.outputs[0])]
    places = [scales.place(info) for info in infos if info is not None]
    if not bits or len(places) < 2:
        return None
    if node.op_type == "Attention" and graph.chip.integer_attention:
        operands = [graph.input_info(node, index) for index in range(3)]
        return _IntegerAttention(node, [scales.place(info) for info in operands if info is not None], places[1], graph, bits)
    found = looked_up(node, bits, options)
    if found is None or found[1] == 1:
        return None
    return _Table16(node, places[0], places[1], graph, found[1])


class _Table16:
    """The entry nearest to the value, of a table with a step (runtime spec 3.5)."""

    def __init__(self, node: ir.Node, source: Place, target: Place, graph: QuantGraph, step: int) -> None:
        self._node, self._graph, self._step = node, graph, step
        self._source, self._target = source, target
        self._known: tuple[tuple[int, int], torch.Tensor] | None = None

    @torch.no_grad()
    def __call__(self, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        (source,), (target,) = self._source.scale.exponents, self._target.scale.exponents
        if self._known is None or self._known[0] != (source, target):
            made = table(self._node, (16, source), (16, target), self._graph.chip, self._step)
            values = np.ldexp(np.asarray(made.data, np.float64), target)
            self._known = (source, target), torch.from_numpy(values).to(x.device, x.dtype)
        places = (x * 2.0**-source + TABLE16_ENTRIES // 2) / self._step
        return self._known[1][round_integers_(places, self._source.grid.rounding).long()]


class _IntegerAttention:
    """The chip's products of integers and its table of exponentials (quantizer spec 10.5), on the CPU."""

    def __init__(self, node: ir.Node, operands: list[Place], target: Place, graph: QuantGraph, bits: int) -> None:
        self._module = Attention(node.name or "", attributes=attributes_of(node), op_type=node.op_type)
        self._operands, self._target = operands, target
        self._rounding = graph.chip.rounding
        self._attend: Callable[..., np.ndarray] = attend8 if bits == 8 else attend16
        self._dtype = np.dtype(np.int8 if bits == 8 else np.int16)

    @torch.no_grad()
    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None, *rest: Any
    ) -> torch.Tensor:
        exponents = [place.scale.exponents[0] for place in (*self._operands, self._target)]
        arrays = [
            np.ldexp(tensor.cpu().double().numpy(), -exponent).astype(self._dtype)
            for tensor, exponent in zip((q, k, v), exponents, strict=False)
        ]
        hidden = None if mask is None else mask.cpu().numpy()
        result = self._module.integer_forward(arrays, hidden, exponents, self._attend, self._rounding)
        return torch.from_numpy(np.ldexp(result.astype(np.float64), exponents[3])).to(q.device, q.dtype)
