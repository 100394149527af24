"""How the constants of two files differ: weights in logical order whatever their packing, tables, everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.fbs.packing import parse_packing_tag, unpack_filter, unpack_matmul
from espdl.fbs.records import Graph, Node, Tensor
from espdl.report.interop.subject import is_grouped


@dataclass(frozen=True)
class ConstantChange:
    """A constant that differs.

    Attributes:
        name, other: in either file; ``other`` is the same unless it was renamed.
        kind: ``weight``, ``table``, ``constant`` or ``test value``.
        what: differs, in words. differing, size: elements. largest: difference between two, in real numbers.
    """

    name: str
    other: str
    kind: str
    what: tuple[str, ...]
    differing: int
    size: int
    largest: float


def constant_changes(one: Graph, two: Graph, names: Mapping[str, str]) -> Iterator[ConstantChange]:
    """Constants that both files have and that differ, tables aside, in the order of the first."""
    theirs = {tensor.name: tensor for tensor in two.initializer}
    users, tables = (_users(one), _users(two)), tables_of(one)
    for tensor in one.initializer:
        other = theirs.get(names.get(tensor.name, tensor.name))
        if other is None:
            continue
        user = users[0].get(tensor.name)
        change = compare(tensor, other, _kind(tensor, user), _logical(tensor, user), _logical(other, users[1].get(other.name)))
        if change is not None and tensor.name not in tables:
            yield change


def table_changes(one: Graph, two: Graph, pairs: Sequence[tuple[Node, Node]]) -> Iterator[ConstantChange]:
    """Tables that differ. Exporters number them anew each time: they are known by the nodes that they belong to."""
    ours, theirs = ({tensor.name: tensor for tensor in graph.initializer} for graph in (one, two))
    seen: set[tuple[str, str]] = set()
    for a, b in pairs:
        mine, other = ours.get(table_of(a)), theirs.get(table_of(b))
        if mine is None or other is None or (mine.name, other.name) in seen:
            continue
        seen.add((mine.name, other.name))
        if change := compare(mine, other, "table", mine.data, other.data):
            yield change


def table_of(node: Node) -> str:
    """The name of a node's table; empty without one."""
    return next((entry.value for entry in node.attribute if entry.name == "lut" and isinstance(entry.value, str)), "")


def tables_of(graph: Graph) -> set[str]:
    """Names of all tables."""
    return {name for node in graph.node if (name := table_of(node))}


def compare(one: Tensor, two: Tensor, kind: str, mine: NDArray, theirs: NDArray) -> ConstantChange | None:
    """How two constants differ; None where they do not.

    Args:
        mine, theirs: their elements in an order of axes that does not depend on the packing.
    """
    what = []
    if one.data_type is not two.data_type:
        what.append(f"{one.data_type.name} -> {two.data_type.name}")
    if one.dims != two.dims:
        what.append(f"shape {list(one.dims)} -> {list(two.dims)}")
    if one.exponents != two.exponents:
        what.append(_exponent_text(one.exponents, two.exponents))
    if one.doc_string != two.doc_string:
        what.append(f"packing {_tag(one)} -> {_tag(two)}")
    if mine.shape != theirs.shape:
        return ConstantChange(
            one.name, two.name, kind, tuple(what) or ("shape",), max(mine.size, theirs.size), mine.size, float("nan")
        )
    differs = (mine != theirs) & ~((mine != mine) & (theirs != theirs))
    count = int(differs.sum())
    if not count and not what:
        return None
    real = _real(one, mine), _real(two, theirs)
    largest = float(np.max(np.abs(real[0] - real[1]), initial=0.0)) if mine.size else 0.0
    if count:
        what.insert(0, f"{count} of {mine.size} values")
    return ConstantChange(one.name, two.name, kind, tuple(what), count, int(mine.size), largest)


def _exponent_text(one: tuple[int, ...], two: tuple[int, ...]) -> str:
    if len(one) == len(two) > 1:
        return f"{sum(a != b for a, b in zip(one, two, strict=True))} of {len(one)} exponents"
    told = [str(e[0]) if len(e) == 1 else f"one per channel ({len(e)})" if e else "none" for e in (one, two)]
    return f"exponent {told[0]} -> {told[1]}"


def _tag(tensor: Tensor) -> str:
    return tensor.doc_string.removeprefix("layout ==> ") or "untold"


def _real(tensor: Tensor, values: NDArray) -> NDArray[np.float64]:
    real = values.astype(np.float64)
    if values.dtype.kind not in "iu" or not tensor.exponents:
        return real
    exponents = np.array(tensor.exponents, np.int32)
    return np.ldexp(real, exponents if len(exponents) in (1, real.shape[-1] if real.ndim else 1) else exponents[0])


def _users(graph: Graph) -> dict[str, Node]:
    """A node that reads each constant."""
    found: dict[str, Node] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, node)
    return found


def _kind(tensor: Tensor, user: Node | None) -> str:
    if user is not None and user.op_type in ("Conv", "Gemm", "MatMul", "GRU", "LSTM") and tensor.name in user.input[1:]:
        return "weight"
    return "constant"


def _logical(tensor: Tensor, user: Node | None) -> NDArray:
    """The elements as the network has them; as they lie where the packing is not known."""
    tag = parse_packing_tag(tensor.doc_string)
    if tag is None or user is None or tensor.data.size != prod(tensor.dims):
        return tensor.data
    try:
        if user.op_type == "MatMul":
            return unpack_matmul(tensor.data, tensor.dims, tag)
        return unpack_filter(tensor.data, tensor.dims, tag, is_grouped(user))
    except EspdlError:
        return tensor.data
