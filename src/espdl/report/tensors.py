"""Every tensor of a file: shape, order of axes, type, exponent, what it can hold or holds, and size."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.module import MODULE_TYPES
from espdl.dl.module.contract import Layout
from espdl.errors import EspdlError
from espdl.fbs.packing import parse_packing_tag, unpack_filter
from espdl.fbs.records import Graph, Node, Tensor, ValueInfo

CHANNELS_LAST = {4: "NHWC", 3: "NWC"}


@dataclass(frozen=True)
class TensorRow:
    """One tensor.

    Attributes:
        name: in the file. kind: ``input``, ``output``, ``variable`` or ``parameter``.
        shape: as in the file; None where it does not say.
        layout: NHWC or NWC for variables that channels-last operators work on, the packing of filters; empty: as ONNX.
        dtype: as in NumPy.
        exponents: of its real values, ``integer * 2**exponent``; several of parameters with one per channel, none of floats and indices.
        real_range: of a parameter, the smallest and largest value it holds; of a variable, that it can hold; None for floats that are not
            known and for empty parameters.
        size: bytes; None without a shape.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    layout: str
    dtype: str
    exponents: tuple[int, ...]
    real_range: tuple[float, float] | None
    size: int | None

    @property
    def exponent_text(self) -> str:
        """``-5``, or ``-9 .. -6`` of several."""
        low, high = min(self.exponents, default=0), max(self.exponents, default=0)
        return "" if not self.exponents else str(low) if low == high else f"{low} .. {high}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def tensor_rows(graph: Graph) -> list[TensorRow]:
    """All tensors of a graph: inputs, what its nodes make in their order, and parameters, in the order of the file."""
    last = channels_last(graph)
    values = {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}
    parameters = {tensor.name for tensor in graph.initializer}
    inputs, outputs = {value.name for value in graph.input}, {value.name for value in graph.output}
    names = dict.fromkeys([*(v.name for v in graph.input), *(name for node in graph.node for name in node.output if name)])
    rows = []
    for name in names:
        if name in values and name not in parameters:
            kind = "input" if name in inputs else "output" if name in outputs else "variable"
            rows.append(_variable(values[name], kind, channels_last=name in last))
    readers: dict[str, Node] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, node)
    return [*rows, *(_parameter(tensor, readers.get(tensor.name)) for tensor in graph.initializer)]


def channels_last(graph: Graph) -> set[str]:
    """Names of the variables in channels-last order: those next to an operator that wants it, or joined to such by operators that take
    any order of axes."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    constants = {tensor.name for tensor in graph.initializer}
    marked = []
    for node in graph.node:
        module = MODULE_TYPES.get(node.op_type)
        layout = module.layout.layout if module else Layout.ONNX
        names = [name for name in (*node.input, *node.output) if name and name not in constants]
        if layout is Layout.ONNX or node.op_type == "Transpose":
            continue
        for name in names[1:]:
            leader[find(name)] = find(names[0])
        if layout is Layout.CHANNELS_LAST:
            marked += names[:1]
    roots = {find(name) for name in marked}
    return {name for name in list(leader) if find(name) in roots}


def _variable(value: ValueInfo, kind: str, *, channels_last: bool) -> TensorRow:
    shape, dtype = value.shape, value.data_type.numpy
    layout = CHANNELS_LAST.get(len(shape or ()), "") if channels_last else ""
    exponents = tuple(value.exponents) if dtype.kind in "iu" else ()
    size = None if shape is None else prod(shape) * dtype.itemsize
    real = None
    if exponents:
        limits = np.iinfo(dtype)
        real = _real(limits.min, exponents[0]), _real(limits.max, exponents[0])
    return TensorRow(value.name, kind, shape, layout, str(dtype), exponents, real, size)


def _parameter(tensor: Tensor, reader: Node | None) -> TensorRow:
    layout = tensor.doc_string.removeprefix("layout ==> ").strip() if _is_filter(tensor) else ""
    data = tensor.data
    exponents = tuple(tensor.exponents) if data.dtype.kind in "iu" and data.itemsize < 8 else ()
    real = None
    if data.size and data.dtype.kind in "fiub":
        if len(exponents) > 1:
            real = _per_channel_range(tensor, reader)
        else:
            exponent = exponents[0] if exponents else 0
            real = _real(data.min(), exponent), _real(data.max(), exponent)
    if real is not None and not all(map(np.isfinite, real)):
        real = None
    return TensorRow(tensor.name, "parameter", tensor.dims, layout, str(data.dtype), exponents, real, data.nbytes)


def _is_filter(tensor: Tensor) -> bool:
    """Whether a parameter is a packed filter; one whose tag contradicts itself is none."""
    try:
        return parse_packing_tag(tensor.doc_string) is not None
    except EspdlError:
        return False


def by_channel(tensor: Tensor, reader: Node | None) -> NDArray | None:
    """A filter or bias with its output channels on the last axis; None where that cannot be told."""
    try:
        tag = parse_packing_tag(tensor.doc_string)
        if tag is None:
            return tensor.data.reshape(-1) if tensor.data.size == len(tensor.exponents) else None
        group = next((a.value for a in reader.attribute if a.name == "group"), 1) if reader else 1
        return unpack_filter(tensor.data, tensor.dims, tag, isinstance(group, int) and group > 1)
    except EspdlError:
        return None


def _per_channel_range(tensor: Tensor, reader: Node | None) -> tuple[float, float] | None:
    values = by_channel(tensor, reader)
    if values is None or values.shape[-1] != len(tensor.exponents):
        return None
    rows = values.reshape(-1, values.shape[-1])
    low = [_real(value, exponent) for value, exponent in zip(rows.min(axis=0), tensor.exponents, strict=True)]
    high = [_real(value, exponent) for value, exponent in zip(rows.max(axis=0), tensor.exponents, strict=True)]
    return min(low), max(high)


def _real(value: Any, exponent: int) -> float:
    return float(np.ldexp(float(value), exponent))
