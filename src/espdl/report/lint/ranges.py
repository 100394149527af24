"""Which integers each tensor can hold at all: intervals followed through the graph, without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from espdl.dtypes import DType
from espdl.fbs.records import Node, Tensor
from espdl.report.interop.subject import attribute

Range: TypeAlias = "tuple[int, int]"

_KEEPS = {
    "MaxPool", "Concat", "Split", "Slice", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Gather",
    "DepthToSpace", "SpaceToDepth", "ReduceMax", "ReduceMin", "Max", "Min", "ReverseSequence", "AveragePool", "GlobalAveragePool",
}  # fmt: skip
"""Operators whose results lie among the values of their inputs, where exponents are equal."""
_PADS_WITH_ZERO = {"InsertZeros", "StreamingCache"}


def integer_ranges(
    nodes: list[Node], types: Mapping[str, DType], exponents: Mapping[str, int], constants: Mapping[str, Tensor]
) -> dict[str, Range]:
    """The smallest and largest integer of every int8 and int16 variable.

    Args:
        nodes: in running order.
        types, exponents: of variables by name.
        constants: by name.

    Returns:
        By name. Never too narrow: where nothing is known it is the range of the type.
    """
    found: dict[str, Range] = {}

    def known(name: str) -> Range:
        if name in constants and constants[name].data.size:
            data = constants[name].data
            return int(data.min()), int(data.max())
        return found.get(name) or _full(types.get(name, DType.INT8))

    for node in nodes:
        for output in node.output:
            dtype = types.get(output)
            if dtype in (DType.INT8, DType.INT16):
                found[output] = _range(node, output, known, exponents, constants, _full(dtype))
    return found


def _range(
    node: Node,
    output: str,
    known: Callable[[str], Range],
    exponents: Mapping[str, int],
    constants: Mapping[str, Tensor],
    full: Range,
) -> Range:
    table = attribute(node, "lut")
    if isinstance(table, str) and table in constants and constants[table].data.size == 256:
        low, high = known(node.input[0])
        entries = constants[table].data.reshape(-1)[low + 128 : high + 129]
        return int(entries.min()), int(entries.max())
    if attribute(node, "activation") == "Relu" or node.op_type == "Relu":
        return 0, full[1]
    sources = [name for name in node.input if name in exponents]
    same = all(exponents[name] == exponents.get(output) for name in sources)
    if node.op_type in _KEEPS | _PADS_WITH_ZERO and sources and same:
        ranges = [known(name) for name in sources]
        low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        return (min(low, 0), max(high, 0)) if node.op_type in _PADS_WITH_ZERO else (low, high)
    if node.op_type == "RequantizeLinear" and sources:
        low, high = known(node.input[0])
        shift = exponents[node.input[0]] - exponents.get(output, 0)
        # rounding may add one, whatever the rule
        low, high = math.floor(math.ldexp(low, shift)), math.ceil(math.ldexp(high, shift))
        return max(full[0], low), min(full[1], high)
    return full


def _full(dtype: DType) -> Range:
    limits = np.iinfo(np.int8 if dtype is DType.INT8 else np.int16)
    return int(limits.min), int(limits.max)
