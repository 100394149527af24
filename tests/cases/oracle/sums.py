"""Add and Sub (runtime spec 3.1)."""

from __future__ import annotations

from tests.cases.oracle.broadcast import broadcast
from tests.cases.oracle.node import Array, Node, oracle
from tests.cases.oracle.rounding import fl32, saturate


@oracle("Add", "Sub")
def add_or_sub(node: Node) -> Array:
    sign = -1 if node.op_type == "Sub" else 1
    dtype = node.y().dtype
    if dtype == "float32":
        return broadcast(node.x(0), node.x(1), lambda a, b: fl32(a + sign * b))
    return broadcast(node.x(0), node.x(1), lambda a, b: saturate(a + sign * b, dtype))
