"""Attention, one head, one query, one key after the other (quantizer spec 10.5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from tests.cases.oracle.broadcast import element
from tests.cases.oracle.node import Array, Node, Position, oracle
from tests.cases.oracle.rounding import HALF_EVEN, dequantize, fl32, quantize, round_exact, saturate

Matrix = Sequence[Sequence[int]]
Mask = Sequence[Sequence[float]] | None

TABLE = [fl32(math.exp(-i / 64)) for i in range(1025)]
NOTHING = -(2**31)


def exp_on_lines(x: float) -> float:
    if x >= 0:
        return 1.0
    position = -x * 64
    if position >= 1024:
        return TABLE[1024]
    low, high = TABLE[int(position)], TABLE[int(position) + 1]
    return fl32(low + (high - low) * (position - int(position)))


def exp_cubic(x: float) -> float:
    if x >= 0:
        return 1.0
    if x <= -32:
        return 0.0
    index = int(-x * 64)
    entry = TABLE[index] if index <= 1024 else fl32(TABLE[index - 1024] * TABLE[1024])
    rest = fl32(-x - index / 64)
    inner = fl32(0.5 - fl32(rest * fl32(1 / 6)))
    inner = fl32(1 - fl32(rest * inner))
    return fl32(entry * fl32(1 - fl32(rest * inner)))


def table8(logit: float) -> tuple[list[int], int]:
    share = fl32((16 / 255) / logit)
    shift = max(0, min(21, math.floor(math.log2(share)))) if share >= 1 else 0
    step = fl32(2**shift * logit)
    entries = [int(fl32(fl32(127 * exp_on_lines(-fl32(i * step))) + 0.5)) for i in range(512)]
    return [max(0, min(127, entry)) for entry in entries], shift


def logit_of(scale: float, q_exponent: int, k_exponent: int) -> float:
    return fl32(fl32(fl32(scale) * 2.0**q_exponent) * 2.0**k_exponent)


def dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def columns(v: Matrix) -> int:
    return len(v[0])


def attention8(q: Matrix, k: Matrix, v: Matrix, mask: Mask, logit: float, v_exponent: int, y_exponent: int) -> list[list[int]]:
    table, shift = table8(logit)
    result = []
    for i, query in enumerate(q):
        maximum, total, sums = NOTHING, 0.0, [0] * columns(v)
        for start in range(0, len(k), 64):
            keys = range(start, min(start + 64, len(k)))
            products = {}
            for j in keys:
                added = 0.0 if mask is None else mask[i][j]
                if added == -math.inf:
                    continue
                units = max(-(2.0**28), min(2.0**28, fl32(added * fl32(1 / logit))))
                products[j] = dot(query, k[j]) + round(units)
            larger = max([maximum, *products.values()])
            if maximum != NOTHING and larger != maximum:
                factor = exp_on_lines(fl32(fl32(maximum - larger) * logit))
                total = fl32(total * factor)
                sums = [int(fl32(fl32(value) * factor)) for value in sums]
            weights = {j: table[min(larger - product, 511 << shift) >> shift] for j, product in products.items()}
            total = fl32(total + sum(weights.values()) * fl32(1 / 127))
            for column in range(columns(v)):
                sums[column] += sum(weight * v[j][column] for j, weight in weights.items())
            maximum = larger
        inverse = fl32(fl32(2.0**v_exponent * fl32(1 / 127)) / total) if total > 0 else 0.0
        scale = fl32(1 / 2.0**y_exponent)
        result.append([saturate(round(fl32(fl32(fl32(value) * inverse) * scale)), "int8") for value in sums])
    return result


def attention16(q: Matrix, k: Matrix, v: Matrix, mask: Mask, logit: float, v_exponent: int, y_exponent: int) -> list[list[int]]:
    shift = math.ceil(math.log2(len(q[0])))
    result = []
    for i, query in enumerate(q):
        maximum, total, sums = -math.inf, 0.0, [0.0] * columns(v)
        for start in range(0, len(k), 64):
            keys = range(start, min(start + 64, len(k)))
            scores = {}
            for j in keys:
                added = 0.0 if mask is None else mask[i][j]
                if added > -math.inf:
                    shifted = round_exact(Fraction(dot(query, k[j]), 2**shift), HALF_EVEN)
                    score = fl32(fl32(shifted) * fl32(logit * 2**shift))
                    scores[j] = fl32(score + added)
            larger = max([maximum, *scores.values()])
            if maximum > -math.inf and larger != maximum:
                factor = exp_cubic(fl32(maximum - larger))
                total, sums = fl32(total * factor), [fl32(value * factor) for value in sums]
            weights = {j: exp_cubic(fl32(score - larger)) for j, score in scores.items()}
            part = 0.0
            for weight in weights.values():
                part = fl32(part + weight)
            total = fl32(total + part)
            for column in range(columns(v)):
                exact = sum(int(weight * 2**29) * v[j][column] for j, weight in weights.items())
                sums[column] = fl32(sums[column] + fl32(fl32(exact) * fl32(2.0**v_exponent / 2**29)))
            maximum = larger
        inverse = fl32(1 / total) if total > 0 else 0.0
        scale = fl32(1 / 2.0**y_exponent)
        result.append([saturate(round(fl32(fl32(value * inverse) * scale)), "int16") for value in sums])
    return result


def attention_float(q: Matrix, k: Matrix, v: Matrix, mask: Mask, scale: float) -> list[list[float]]:
    """On real numbers, rounded once to binary32."""
    result = []
    for i, query in enumerate(q):
        scores = [math.fsum(a * b for a, b in zip(query, key, strict=True)) * scale for key in k]
        if mask is not None:
            scores = [score + added for score, added in zip(scores, mask[i], strict=True)]
        largest = max(scores)
        weights = [math.exp(score - largest) if score > -math.inf else 0.0 for score in scores]
        total = math.fsum(weights)
        columns_of_v = zip(*v, strict=True)
        sums = [math.fsum(w * value for w, value in zip(weights, column, strict=True)) for column in columns_of_v]
        result.append([fl32(value / total) if total else 0.0 for value in sums])
    return result


def _mask(node: Node, scores: Position) -> Array | None:
    """What is added to the scores; None for nothing."""
    given, is_causal = node.x(3) if node.has(3) else None, node.attributes.get("is_causal", 0)
    if given is None and not is_causal:
        return None

    def added(at: Position) -> float:
        if is_causal and at[3] > at[2]:
            return -math.inf
        if given is None:
            return 0.0
        value = element(given, at)
        return float(value) if given.dtype == "float32" else (0.0 if value else -math.inf)

    return Array.build(scores, added, "float32")


@oracle("Attention")
def attention(node: Node) -> Array:
    heads_axis = 2 if node.attributes.get("layout", "BHND") == "BNHD" else 1
    q, k, v = (node.x(index) for index in range(3))
    sizes = [(a.shape[0], a.shape[heads_axis], a.shape[3 - heads_axis], a.shape[3]) for a in (q, k)]
    (batch, heads, queries, depth), (_, kv_heads, keys, _) = sizes

    def rows(array: Array, b: int, head: int, count: int) -> list[list[float]]:
        def at(row: int, column: int) -> Position:
            return (b, head, row, column) if heads_axis == 1 else (b, row, head, column)

        return [[array[at(row, column)] for column in range(depth)] for row in range(count)]

    scale = node.attributes.get("scale", fl32(1 / fl32(math.sqrt(depth))))
    mask = _mask(node, (batch, heads, queries, keys))
    results: dict[Position, float] = {}
    for b in range(batch):
        for head in range(heads):
            group = head // (heads // kv_heads)
            operands = [rows(q, b, head, queries), rows(k, b, group, keys), rows(v, b, group, keys)]
            hidden = None if mask is None else [[mask[(b, head, i, j)] for j in range(keys)] for i in range(queries)]
            for i, row in enumerate(_of_head(node, operands, hidden, scale)):
                for column, value in enumerate(row):
                    results[(b, head, i, column) if heads_axis == 1 else (b, i, head, column)] = value
    return Array.build(q.shape, lambda at: results[at], q.dtype)


def _of_head(node: Node, operands: list[list[list[float]]], mask: Mask, scale: float) -> list[list[float]]:
    """Integer kernels are those of the chip that rounds to even; the others compute in float."""
    dtype, exponent = node.x().dtype, node.y().exponent
    exponents = [array.exponent for array in (node.x(index) for index in range(3)) if isinstance(array.exponent, int)]
    if dtype == "float32":
        return attention_float(*operands, mask, fl32(scale))
    if node.facts.target == "esp32p4":
        kernel = attention8 if dtype == "int8" else attention16
        return kernel(*operands, mask, logit_of(scale, *exponents[:2]), exponents[2], exponent)  # type: ignore[arg-type]
    real = [[[dequantize(int(value), e) for value in row] for row in rows] for rows, e in zip(operands, exponents, strict=True)]
    return [
        [quantize(value, exponent, dtype, node.rounding) for value in row] for row in attention_float(*real, mask, fl32(scale))
    ]
