"""``Recurrent``: what GRU and LSTM share: inputs and outputs, directions, the walk along the sequence (runtime spec 3.12)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from espdl.dl.machine import Machine
from espdl.dl.module.base import Module, Step
from espdl.dl.module.checks import (
    common_dtype,
    given,
    input_shape,
    integer_attribute,
    optional,
    tensor_exponent,
    text_attribute,
    type_name,
)
from espdl.dl.module.gates import GateProduct, add_wrapping
from espdl.dl.module.recurrent_rules import default_activations, ignored_on_the_chip
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from espdl.wording import counted

State = tuple[NDArray[Any], ...]
"""Hidden state [H] and, for LSTM, cell state [H]."""
Cell = Callable[[NDArray[Any], NDArray[Any], State], State]
"""One step: gates from the input [G * H], gates from the hidden state [G * H], both with their bias; the state before; the state after."""

LARGEST_GATE_EXPONENT = 30
"""Of either sign; the chip shifts 32-bit integers by it."""
BIAS, LENGTHS, INITIAL_H, INITIAL_C = 3, 4, 5, 6


@dataclass(frozen=True)
class Direction:
    """One direction's weights at work.

    Attributes:
        from_input: [steps, I] to gates [steps, G * H].
        from_state: hidden state [H] to gates [G * H].
    """

    from_input: Callable[[NDArray[Any]], NDArray[Any]]
    from_state: Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Shapes:
    """Extents of a node: steps S, input I, hidden H."""

    steps: int
    inputs: int
    hidden: int


class Recurrent(Module):
    """Inputs X, W, R and, each optional, B, sequence_lens, initial states. Outputs Y and the last states, of which a node may omit some.

    Batch is 1. Y is [S, directions, 1, H], the last states [directions, 1, H]. Attribute ``layout`` only says which axis of X is the
    sequence. The state is not carried between runs: every run starts from the initial state, zero where there is none. Attributes
    ``activations`` and ``clip`` and input ``sequence_lens`` are ignored, and direction ``reverse`` runs forward, as on the chip.
    """

    gates: ClassVar[int]  # rows of W and R for each hidden unit
    states: ClassVar[int]  # last states, the outputs behind Y

    def configure(self) -> None:
        self.directions = 2 if text_attribute(self, "direction", "forward") == "bidirectional" else 1
        self.batch_first = integer_attribute(self, "layout", 0) == 1
        self.hidden_size = integer_attribute(self, "hidden_size", 0)
        self.gate_exponent = integer_attribute(self, "gate_exponent", -8)
        if abs(self.gate_exponent) > LARGEST_GATE_EXPONENT:
            raise EspdlError(f"gate_exponent {self.gate_exponent} is impossible", hint="the file is damaged")
        self._bind_warnings = ignored_on_the_chip(self.attributes, default_activations(self.op_type))
        self._products: list[GateProduct] = []

    @property
    def warnings(self) -> list[str]:
        """What a user should know of this node and its last run, one sentence each."""
        overflows = sum(product.overflows for product in self._products)
        found = [f"{counted(overflows, 'sum')} left the chip's accumulator in the last run"] if overflows else []
        return [*self._bind_warnings, *found]

    # Shapes

    def get_output_shape(self, input_shapes: list[list[int]]) -> list[list[int]]:
        shapes = self._shapes(input_shapes)
        last = [self.directions, 1, shapes.hidden]
        return [[shapes.steps, *last], *(list(last) for _ in range(self.states))]

    def _shapes(self, input_shapes: Sequence[Sequence[int]]) -> Shapes:
        """Checks every input's shape against the others."""
        x, w, r = (input_shape(input_shapes, index) for index in range(3))
        if len(x) != 3 or len(w) != 3 or len(r) != 3:
            raise EspdlError(f"X {x}, W {w} and R {r} must have rank 3")
        (steps, batch) = (x[1], x[0]) if self.batch_first else (x[0], x[1])
        if batch != 1:
            raise EspdlError(f"a batch of {batch}", why="the chip computes a batch of 1", hint="run the sequences one by one")
        hidden = r[2]
        rows = self.gates * hidden
        if self.hidden_size not in (0, hidden):
            raise EspdlError(f"R {r} does not fit hidden_size {self.hidden_size}")
        for name, shape, wanted in (
            ("W", w, [self.directions, rows, x[2]]),
            ("R", r, [self.directions, rows, hidden]),
        ):
            if shape != wanted:
                raise EspdlError(
                    f"{name} has shape {shape}", why=f"X is {x}, {counted(self.directions, 'direction')}: {wanted} fits"
                )
        for index, name, size in (
            (BIAS, "B", 2 * rows),
            *((INITIAL_H + number, f"initial state {number}", hidden) for number in range(self.states)),
        ):
            if index < len(input_shapes) and input_shapes[index]:
                count = int(np.prod(input_shapes[index]))
                if count != self.directions * size:
                    raise EspdlError(f"{name} has shape {list(input_shapes[index])}", why=f"{self.directions * size} values fit")
        return Shapes(steps, x[2], hidden)

    # Running

    @abstractmethod
    def integer_cell(self, exponent: int, dtype: DType, machine: Machine) -> Cell:
        """A step on raw integers; the hidden state has ``exponent`` and ``dtype``."""

    @abstractmethod
    def float_cell(self) -> Cell:
        """A step in binary32."""

    def float_forward(self, *inputs: NDArray[np.float32] | None) -> tuple[NDArray[Any], ...]:
        shapes = self._shapes([[] if array is None else list(array.shape) for array in inputs])
        x, w, r = (np.asarray(array) for array in inputs[:3])
        bias = inputs[BIAS] if len(inputs) > BIAS else None
        initial = [inputs[i] if i < len(inputs) else None for i in range(INITIAL_H, INITIAL_H + self.states)]
        results = tuple(
            np.empty(shape, np.float32) for shape in self.get_output_shape([list(x.shape), list(w.shape), list(r.shape)])
        )
        directions = [_float_direction(*parts) for parts in self._parts(w, r, bias)]
        before = [[_row(array, d, shapes.hidden, np.float32) for array in initial] for d in range(self.directions)]
        rows = x.reshape(shapes.steps, -1)
        _walk(directions, self.float_cell(), rows, before, results, backwards=self._first_runs_back)
        return results

    @property
    def _first_runs_back(self) -> bool:
        """Whether the first direction runs from the last step to the first, as ONNX has it for direction ``reverse``."""
        return self.strict_onnx and self.attributes.get("direction") == "reverse"

    def gate_reach(self, y: NDArray[np.float32], *inputs: NDArray[np.float32] | None) -> float:
        """The largest magnitude among gates, what is added up to them, and cell states of a float run: the gate exponent must span it.

        Args:
            y: the hidden states of that run, as of output Y.
            *inputs: its inputs, in the order of the operator.
        """
        shapes = self._shapes([[] if array is None else list(array.shape) for array in inputs])
        x, w, r = (np.asarray(array) for array in inputs[:3])
        bias = inputs[BIAS] if len(inputs) > BIAS else None
        initial = [inputs[i] if i < len(inputs) else None for i in range(INITIAL_H, INITIAL_H + self.states)]
        reach, cell = 0.0, self.float_cell()
        for d, (weights, recurrence, first, second) in enumerate(self._parts(w, r, bias)):
            turn = slice(None, None, -1 if d else 1)
            state = [_row(array, d, shapes.hidden, np.float32) for array in initial]
            hidden = np.concatenate([state[0][None], y.reshape(shapes.steps, self.directions, -1)[turn, d]])[:-1]
            product = _float_direction(weights, recurrence, None, None)
            a, b = product.from_input(x.reshape(shapes.steps, -1)[turn]), product.from_state(hidden)
            seen = [a, b]
            if first is not None and second is not None:
                seen += [first, second, a + first, b + second]
                a, b = a + first, b + second
            for step in range(shapes.steps if self.states > 1 else 0):
                with np.errstate(over="ignore"):
                    state = [hidden[step], *cell(a[step], b[step], (hidden[step], *state[1:]))[1:]]
                seen += state[1:]
            reach = max(reach, *(float(np.abs(array).max(initial=0.0)) for array in (*seen, a + b)))
        return reach

    def _parts(
        self, w: NDArray[Any], r: NDArray[Any], bias: NDArray[Any] | None
    ) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]]:
        """For each direction its W, its R and the biases of either."""
        halves = None if bias is None else bias.reshape(self.directions, 2, -1)
        return [
            (w[d], r[d], None if halves is None else halves[d, 0], None if halves is None else halves[d, 1])
            for d in range(self.directions)
        ]

    def bind(self, inputs: Sequence[TensorBase | None], outputs: Sequence[TensorBase | None], machine: Machine) -> Step:
        x = given(inputs, 0, "X")
        w, r = self._constant(inputs, 1, "W"), self._constant(inputs, 2, "R")
        hidden = [tensor for tensor in outputs[:2] if tensor is not None]
        if not hidden:
            raise EspdlError("neither Y nor Y_h is an output", why="nothing says type and exponent of the hidden state")
        dtype = common_dtype(self, (x, *hidden))
        shapes = self._shapes([[] if tensor is None else tensor.shape for tensor in inputs])
        initial = [optional(inputs, INITIAL_H + number) for number in range(self.states)]
        types = (dtype, DType.FLOAT if dtype is DType.FLOAT else DType.INT16)[: self.states]
        self._check_states(initial, [outputs[1] if len(outputs) > 1 else None, *outputs[2:]], types)
        bias = self._constant(inputs, BIAS, "B") if optional(inputs, BIAS) is not None else None
        self._products = []
        self._bind_warnings = ignored_on_the_chip(self.attributes, default_activations(self.op_type), inputs)
        if dtype is DType.FLOAT:
            for role, tensor in (("W", w), ("R", r), ("B", bias)):
                if tensor is not None and tensor.dtype is not DType.FLOAT:
                    raise EspdlError(f"{role} is {type_name(tensor.dtype)}", why="X is float32, so it must be too")
            cell = self.float_cell()
            directions = [_float_direction(*parts) for parts in self._parts(w.data, r.data, None if bias is None else bias.data)]
        else:
            exponent = self._state_exponent(hidden, initial)
            cell = self.integer_cell(exponent, dtype, machine)
            directions = self._integer_directions(x, w, r, bias, exponent, machine)
        targets = [None if tensor is None else tensor.data for tensor in outputs]
        element_types = [kind.numpy for kind in types]

        def step() -> None:
            for product in self._products:
                product.restart()
            before = [
                [
                    _row(None if tensor is None else tensor.data, d, shapes.hidden, kind)
                    for tensor, kind in zip(initial, element_types, strict=True)
                ]
                for d in range(self.directions)
            ]
            with np.errstate(all="ignore"):
                _walk(directions, cell, x.data.reshape(shapes.steps, -1), before, targets, backwards=self._first_runs_back)

        return step

    def _constant(self, inputs: Sequence[TensorBase | None], index: int, role: str) -> TensorBase:
        if index not in self.parameters:
            given(inputs, index, role)
            raise EspdlError(f"{role} must be a constant of the file", hint="fold it into a constant")
        return self.parameters[index]

    def _check_states(
        self, initial: Sequence[TensorBase | None], last: Sequence[TensorBase | None], types: Sequence[DType]
    ) -> None:
        for name, tensors in (("the initial", initial), ("the last", last)):
            for letter, tensor, wanted in zip("hc", tensors, types, strict=False):
                if tensor is not None and tensor.dtype is not wanted:
                    raise EspdlError(
                        f"{name} {letter} is {type_name(tensor.dtype)}", why=f"the chip holds it as {type_name(wanted)} here"
                    )
        cell = last[1] if len(last) > 1 else None
        if cell is not None and cell.dtype is DType.INT16 and tensor_exponent(cell) != self.gate_exponent:
            raise EspdlError(
                f"Y_c has exponent {tensor_exponent(cell)}, the gates {self.gate_exponent}", why="the chip wants them equal"
            )

    def _state_exponent(self, hidden: Sequence[TensorBase], initial: Sequence[TensorBase | None]) -> int:
        """Exponent of the hidden state. Initial states are taken raw: notes those in another one."""
        exponents = {tensor_exponent(tensor) for tensor in hidden}
        if len(exponents) > 1:
            raise EspdlError(
                "Y and Y_h have different exponents",
                why="the chip writes the same integers to both",
                hint="export the file again",
            )
        exponent = exponents.pop()
        for letter, tensor, wanted in zip("hc", initial, (exponent, self.gate_exponent), strict=False):
            if tensor is not None and tensor_exponent(tensor) != wanted and np.any(tensor.data):
                self._bind_warnings.append(
                    f"initial_{letter} has exponent {tensor_exponent(tensor)}, but the chip takes its integers as if it were {wanted}"
                )
        return exponent

    def _integer_directions(
        self, x: TensorBase, w: TensorBase, r: TensorBase, bias: TensorBase | None, exponent: int, machine: Machine
    ) -> list[Direction]:
        for role, tensor in (("W", w), ("R", r)):
            if tensor.dtype not in (DType.INT8, x.dtype):
                raise EspdlError(
                    f"{role} is {type_name(tensor.dtype)}, X {type_name(x.dtype)}", hint="quantize the network again"
                )
        if bias is not None and (bias.dtype is not DType.INT16 or tensor_exponent(bias) != self.gate_exponent):
            raise EspdlError(
                f"B is {type_name(bias.dtype)} with exponent {tensor_exponent(bias)}",
                why=f"it is added to int16 gates with exponent {self.gate_exponent}",
            )
        of_input = self.gate_exponent - tensor_exponent(x) - tensor_exponent(w)
        of_state = self.gate_exponent - exponent - tensor_exponent(r)
        found = []
        for rows, recurrence, first, second in self._parts(w.data, r.data, None if bias is None else bias.data):
            from_input = GateProduct(rows, x.dtype.numpy, of_input, machine)
            from_state = GateProduct(recurrence, x.dtype.numpy, of_state, machine)
            self._products += [from_input, from_state]
            found.append(_integer_direction(from_input, from_state, first, second))
        return found


def _integer_direction(
    from_input: GateProduct, from_state: GateProduct, first: NDArray[Any] | None, second: NDArray[Any] | None
) -> Direction:
    return Direction(
        lambda rows: add_wrapping(from_input(rows), first), lambda state: add_wrapping(from_state(state[None, :])[0], second)
    )


def _float_direction(w: NDArray[Any], r: NDArray[Any], first: NDArray[Any] | None, second: NDArray[Any] | None) -> Direction:
    """Sums are made in binary64 and rounded once: chips add in orders of their own (runtime spec 0), and this lies between them."""
    wide_w, wide_r = w.T.astype(np.float64), r.T.astype(np.float64)
    zero = np.float32(0)
    return Direction(
        lambda rows: (rows.astype(np.float64) @ wide_w).astype(np.float32) + (zero if first is None else first),
        lambda state: (state.astype(np.float64) @ wide_r).astype(np.float32) + (zero if second is None else second),
    )


def _row(array: NDArray[Any] | None, direction: int, hidden: int, dtype: np.dtype | type) -> NDArray[Any]:
    """A direction's initial state as a copy: outputs may be written over it."""
    return np.zeros(hidden, dtype) if array is None else array.reshape(-1, hidden)[direction].copy()


def _walk(
    directions: Sequence[Direction],
    cell: Cell,
    rows: NDArray[Any],
    before: Sequence[Sequence[NDArray[Any]]],
    targets: Sequence[NDArray[Any] | None],
    *,
    backwards: bool,
) -> None:
    """Runs every direction along the sequence, the second one backwards, and writes Y and the last states.

    Args:
        rows: X, [S, I].
        before: initial states of each direction.
        targets: Y [S, directions, 1, H] and the last states [directions, 1, H]; None for an omitted one.
        backwards: whether the first direction runs backwards, too.
    """
    y, last = targets[0], targets[1:]
    for d, (direction, initial) in enumerate(zip(directions, before, strict=True)):
        gates = direction.from_input(rows)
        state: State = tuple(initial)
        for step in range(len(rows)) if d == 0 and not backwards else reversed(range(len(rows))):
            state = cell(gates[step], direction.from_state(state[0]), state)
            if y is not None:
                y[step, d, 0] = state[0]
        for target, value in zip(last, state, strict=False):
            if target is not None:
                target[d, 0] = value
