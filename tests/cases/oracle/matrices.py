"""Gemm and MatMul (runtime spec 3.4)."""

from __future__ import annotations

from tests.cases.oracle.accumulator import accumulate, exponent_of, finish
from tests.cases.oracle.broadcast import broadcast_shape, element
from tests.cases.oracle.convolution import ITEMSIZE
from tests.cases.oracle.node import Array, Node, Position, oracle
from tests.cases.oracle.rounding import fl32


@oracle("Gemm")
def gemm(node: Node) -> Array:
    """Rows of the last extent times a matrix [1, 1, C, N]."""
    x, w = node.x(0), node.x(1)
    if x.dtype == "float32":
        return _float_gemm(node)
    depth, columns = w.shape[-2:]

    def product(at: Position) -> int:
        products = [x[(*at[:-1], k)] * w[(0, 0, k, at[-1])] for k in range(depth)]
        bias = node.x(2).values[at[-1]] if node.has(2) else 0
        total = accumulate([products], bias, at[-1], columns, on=node.facts, itemsize=ITEMSIZE[x.dtype])
        return finish(node, total, exponent_of(w.exponent, at[-1]))

    return Array.build([*x.shape[:-1], columns], product)


def _float_gemm(node: Node) -> Array:
    """The matrix is [C, N] or, with transB, [N, C]; alpha and beta as in ONNX."""
    x, w, of = node.x(0), node.x(1), node.attributes
    depth, columns = w.shape[::-1] if of.get("transB", 0) else w.shape

    def element(at: Position) -> float:
        total = sum(x[(*at[:-1], k)] * w[(at[-1], k) if of.get("transB", 0) else (k, at[-1])] for k in range(depth))
        bias = node.x(2).values[at[-1]] if node.has(2) else 0.0
        value = total * of.get("alpha", 1.0) + bias * of.get("beta", 1.0)
        return fl32(max(value, 0.0) if of.get("activation") == "Relu" else value)

    return Array.build([*x.shape[:-1], columns], element)


@oracle("MatMul")
def matmul(node: Node) -> Array:
    """Vectors are rows or columns; batch extents broadcast. The product of two vectors has shape [1]."""
    a, b = node.x(0), node.x(1)
    left = a.reshaped((1, *a.shape)) if len(a.shape) == 1 else a
    right = b.reshaped((*b.shape, 1)) if len(b.shape) == 1 else b
    batch = broadcast_shape(left.shape[:-2], right.shape[:-2])
    rows, depth, columns = left.shape[-2], left.shape[-1], right.shape[-1]

    def of(array: Array, at: Position, row: int, column: int) -> int:
        """An element of the matrix of a batch position."""
        flat = Array(array.shape[:-2], range(array.size // (array.shape[-2] * array.shape[-1])))
        matrix = element(flat, at)
        return array.values[(matrix * array.shape[-2] + row) * array.shape[-1] + column]

    def product(at: Position) -> float:
        products = [of(left, at[:-2], at[-2], k) * of(right, at[:-2], k, at[-1]) for k in range(depth)]
        if a.dtype == "float32":
            return fl32(sum(products))
        total = accumulate([products], 0, at[-1], columns, on=node.facts, itemsize=ITEMSIZE[a.dtype])
        return finish(node, total, exponent_of(b.exponent, at[-1]))

    full = Array.build([*batch, rows, columns], product)
    shape = (*batch, *([] if len(a.shape) == 1 else [rows]), *([] if len(b.shape) == 1 else [columns])) or (1,)
    return full.reshaped(shape)
