"""Equal, Greater, GreaterOrEqual, Less, LessOrEqual: raw integers, a byte of 0 or 1 (runtime spec 3.1)."""

from __future__ import annotations

from tests.cases.oracle.broadcast import broadcast
from tests.cases.oracle.node import Array, Node, oracle

COMPARISONS = {
    "Equal": lambda a, b: int(a == b),
    "Greater": lambda a, b: int(a > b),
    "GreaterOrEqual": lambda a, b: int(a >= b),
    "Less": lambda a, b: int(a < b),
    "LessOrEqual": lambda a, b: int(a <= b),
}


@oracle(*COMPARISONS)
def compare(node: Node) -> Array:
    return broadcast(node.x(0), node.x(1), COMPARISONS[node.op_type])
