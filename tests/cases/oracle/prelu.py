"""PRelu on [N, H, W, C], as the vector kernels and the golden files have it (runtime spec 3.6, appendix C)."""

from __future__ import annotations

from tests.cases.oracle.node import Array, Node, Position, oracle
from tests.cases.oracle.rounding import fl32, saturate, shift_and_round


@oracle("PRelu")
def prelu(node: Node) -> Array:
    x, alpha, y = node.x(0), node.x(1), node.y()
    slopes = alpha.values if alpha.size > 1 else [alpha.values[0]] * x.shape[-1]
    if y.dtype == "float32":
        return Array.build(x.shape, lambda at: x[at] if x[at] >= 0 else fl32(x[at] * slopes[at[-1]]))
    if node.lut is not None:
        table = node.lut.values
        return x.map(lambda value: table[value + 128])
    assert isinstance(x.exponent, int)
    assert isinstance(alpha.exponent, int)
    shift, slope_shift = y.exponent - x.exponent, y.exponent - x.exponent - alpha.exponent

    def element(at: Position) -> int:
        if x[at] >= 0:
            return saturate(shift_and_round(x[at], shift, node.rounding), y.dtype)
        return saturate(shift_and_round(x[at] * slopes[at[-1]], slope_shift, node.rounding), y.dtype)

    return Array.build(x.shape, element)
