"""Attention of one head written down from quantizer spec 10.5 in plain Python numbers: one query, one key after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.dl.module.harness import fl32, saturated

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
        result.append([saturated(round(fl32(fl32(fl32(value) * inverse) * scale)), 8) for value in sums])
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
                    # Python's round takes ties to the even neighbour, and this quotient is exact
                    score = fl32(fl32(round(dot(query, k[j]) / 2**shift)) * fl32(logit * 2**shift))
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
        result.append([saturated(round(fl32(fl32(value * inverse) * scale)), 16) for value in sums])
    return result
