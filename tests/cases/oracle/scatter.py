"""ScatterND (runtime spec 3.13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.cases.oracle.node import Array, Node, oracle, positions
from tests.cases.oracle.rounding import fl32, saturate

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda old, new: new,
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "max": max,
    "min": min,
}


@oracle("ScatterND")
def scatter_nd(node: Node) -> Array:
    """Updates of one place act one after the other, on raw integers."""
    source, indices, updates = node.x(0), node.x(1), node.x(2)
    combine = _COMBINE[node.attributes.get("reduction", "none")]
    depth = indices.shape[-1]
    result = list(source.values)
    for at in positions(updates.shape):
        outer, inner = at[: len(indices.shape) - 1], at[len(indices.shape) - 1 :]
        place = source.flat_index([*(indices[(*outer, i)] for i in range(depth)), *inner])
        value = combine(result[place], updates[at])
        result[place] = fl32(value) if source.dtype == "float32" else saturate(value, source.dtype)
    return Array(source.shape, result)
