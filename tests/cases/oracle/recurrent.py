"""GRU and LSTM (runtime spec 3.12): what happens between the steps of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.cases.oracle.cells import FloatLayer, IntegerLayer
from tests.cases.oracle.node import Array, Node, oracle

GATES = {"GRU": 3, "LSTM": 4}
BIAS, INITIAL_H, INITIAL_C = 3, 5, 6


@oracle("GRU", "LSTM")
def recurrent(node: Node) -> list[Array | None]:
    """Y [steps, directions, 1, H], Y_h and, of LSTM, Y_c [directions, 1, H]. No state is kept from run to run."""
    x, w, r = (node.x(index) for index in range(3))
    directions, rows, size = w.shape
    hidden = r.shape[2]
    steps = [list(x.values[start : start + size]) for start in range(0, x.size, size)]
    y: list[list[Any]] = [[None] * directions for _ in steps]
    last_h: list[Any] = []
    last_c: list[Any] = []
    for d in range(directions):
        bias = _part(node, BIAS, d, 2 * rows)
        layer = _layer(node, _matrix(w, d), _matrix(r, d), bias[:rows], bias[rows:])
        h, c = _part(node, INITIAL_H, d, hidden), _part(node, INITIAL_C, d, hidden)
        for step in range(len(steps)) if d == 0 else reversed(range(len(steps))):
            if node.op_type == "GRU":
                h = layer.gru(steps[step], h)
            else:
                h, c = layer.lstm(steps[step], h, c)
            y[step][d] = h
        last_h += h
        last_c += c
    flat = [value for step in y for direction in step for value in direction]
    last = (directions, 1, hidden)
    outputs: list[Array | None] = [Array((len(steps), *last), flat), Array(last, last_h), Array(last, last_c)]
    given = outputs[: 2 if node.op_type == "GRU" else 3]
    return [array if node.outputs[index] is not None else None for index, array in enumerate(given[: len(node.outputs)])]


def _matrix(array: Array, direction: int) -> list[list[Any]]:
    _, rows, columns = array.shape
    first = direction * rows * columns
    return [list(array.values[first + row * columns : first + (row + 1) * columns]) for row in range(rows)]


def _part(node: Node, index: int, direction: int, size: int) -> list[Any]:
    """A direction's part of a bias or an initial state, raw; zeros where it is omitted."""
    if not node.has(index):
        return [0] * size
    return list(node.x(index).values[direction * size : (direction + 1) * size])


def _layer(node: Node, w: Sequence[list[Any]], r: Sequence[list[Any]], wb: list[Any], rb: list[Any]) -> IntegerLayer | FloatLayer:
    x = node.x()
    if x.dtype == "float32":
        return FloatLayer(w, r, wb, rb)
    exponents = [node.x(index).exponent for index in range(3)]
    assert all(isinstance(exponent, int) for exponent in exponents)
    hidden = next(result for result in node.outputs[:2] if result is not None)
    return IntegerLayer(
        w,
        r,
        wb,
        rb,
        *exponents,
        h_exponent=hidden.exponent,
        gate_exponent=node.attributes.get("gate_exponent", -8),
        dtype=x.dtype,
        rounding=node.rounding,
        lanes=node.facts.lanes(1 if x.dtype == "int8" else 2) if node.facts.silicon and node.facts.vector_bytes else 0,
    )
