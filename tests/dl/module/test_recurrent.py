"""GRU and LSTM on integers against the specification in plain Python numbers, and what they accept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.machine import Machine
from espdl.dl.module import Module
from espdl.dl.module.gates import GateProduct, GateTable, sigmoid_table, tanh_table
from espdl.dl.module.unary import sigmoid
from espdl.dtypes import Arithmetic, DType
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from espdl.tensor import TensorBase
from tests.dl.module.harness import ARITHMETIC, TARGET, machine, make, saturated, tensor
from tests.dl.module.recurrent_oracle import Layer, walk

GATES = {"GRU": 3, "LSTM": 4}
OP_TYPES = st.sampled_from(["GRU", "LSTM"])


@dataclass
class Case:
    """Arrays of one node; ``None`` where it omits an input."""

    op_type: str
    x: np.ndarray
    w: np.ndarray
    r: np.ndarray
    b: np.ndarray | None = None
    h: np.ndarray | None = None
    c: np.ndarray | None = None
    gate_exponent: int = -9
    x_exponent: int = -6
    w_exponent: int = -8
    r_exponent: int = -7
    h_exponent: int = -7

    @property
    def directions(self) -> int:
        return len(self.w)

    @property
    def hidden(self) -> int:
        return self.r.shape[2]

    def module(self, **attributes: Any) -> Module:
        constants = {1: tensor(self.w, self.w_exponent), 2: tensor(self.r, self.r_exponent)}
        if self.b is not None:
            constants[3] = tensor(self.b, self.gate_exponent)
        given = {"hidden_size": self.hidden, "gate_exponent": self.gate_exponent}
        if self.directions == 2:
            given["direction"] = "bidirectional"
        if self.op_type == "GRU":
            given["linear_before_reset"] = 1
        return make(self.op_type, constants, **given | attributes)

    def inputs(self) -> list[TensorBase | None]:
        return [
            tensor(self.x, self.x_exponent),
            None,
            None,
            None,
            None,
            None if self.h is None else tensor(self.h, self.h_exponent),
            None if self.c is None else tensor(self.c, self.gate_exponent),
        ]

    def outputs(self, steps: int) -> list[TensorBase]:
        kind, h = DType.of(self.x.dtype), [self.directions, 1, self.hidden]
        found = [TensorBase([steps, *h], None, self.h_exponent, kind), TensorBase(h, None, self.h_exponent, kind)]
        if self.op_type == "LSTM":
            cell = DType.FLOAT if kind is DType.FLOAT else DType.INT16
            found.append(TensorBase(h, None, self.gate_exponent, cell))
        return found

    def run(self, on: Machine, omit: frozenset[int] = frozenset(), **attributes: Any) -> list[np.ndarray | None]:
        module = self.module(**attributes)
        inputs = self.inputs()
        for index, constant in module.parameters.items():
            inputs[index] = constant
        shapes = module.get_output_shape([[] if t is None else t.shape for t in inputs])
        outputs: list[TensorBase | None] = list(self.outputs(shapes[0][0]))
        assert [t.shape for t in outputs if t is not None] == shapes
        for index in omit:
            outputs[index] = None
        module.run(inputs, outputs, machine=on)
        return [None if t is None else t.data for t in outputs]

    def expected(self, on: Machine) -> list[Any]:
        itemsize = self.x.dtype.itemsize
        zeros = np.zeros((self.directions, self.hidden), np.int64)
        bias = np.zeros((self.directions, 2, GATES[self.op_type] * self.hidden), np.int64) if self.b is None else self.b
        bias = bias.reshape(self.directions, 2, -1)
        layers = [
            Layer(
                self.w[d].tolist(),
                self.r[d].tolist(),
                bias[d, 0].tolist(),
                bias[d, 1].tolist(),
                self.x_exponent,
                self.w_exponent,
                self.r_exponent,
                self.h_exponent,
                self.gate_exponent,
                on.chip.rounding,
                8 * itemsize,
                on.chip.lanes(itemsize) if on.is_silicon and on.chip.vector_bytes else 0,
            )
            for d in range(self.directions)
        ]
        h, c = (zeros if state is None else state.reshape(zeros.shape) for state in (self.h, self.c))
        return list(walk(layers, self.op_type, self.x.reshape(-1, self.w.shape[2]).tolist(), h.tolist(), c.tolist()))


def check(case: Case, on: Machine, **options: Any) -> None:
    wanted = case.expected(on)
    for index, got in enumerate(case.run(on, **options)):
        if got is not None:
            assert np.squeeze(got).tolist() == np.squeeze(np.array(wanted[index])).tolist(), f"output {index}"


def draw_case(data: st.DataObject, op_type: str) -> Case:
    """Random integers of the whole range, or small ones: gates then lie where the tables are steep."""
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    kind = data.draw(st.sampled_from([np.int8, np.int16]))
    weight = data.draw(st.sampled_from([np.int8, kind]))
    directions = data.draw(st.sampled_from([1, 2]))
    steps, size, hidden = (
        data.draw(st.integers(1, 3)),
        data.draw(st.sampled_from([1, 3, 8, 16])),
        data.draw(st.sampled_from([2, 5, 16])),
    )
    spread = data.draw(st.sampled_from([1, 4, 16]))

    def integers(dtype: Any, *shape: int) -> np.ndarray:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min // spread, limits.max // spread + 1, shape).astype(dtype)

    rows = GATES[op_type] * hidden
    extra = 8 if kind is np.int16 else 0
    extra_weight = 8 if weight is np.int16 else 0
    return Case(
        op_type,
        integers(kind, steps, 1, size),
        integers(weight, directions, rows, size),
        integers(weight, directions, rows, hidden),
        integers(np.int16, directions, 2 * rows) if data.draw(st.booleans()) else None,
        integers(kind, directions, 1, hidden) if data.draw(st.booleans()) else None,
        integers(np.int16, directions, 1, hidden) if op_type == "LSTM" and data.draw(st.booleans()) else None,
        gate_exponent=data.draw(st.integers(-12, -7)),
        x_exponent=data.draw(st.integers(-8, -4)) - extra,
        w_exponent=data.draw(st.integers(-9, -5)) - extra_weight,
        r_exponent=data.draw(st.integers(-9, -5)) - extra_weight,
        h_exponent=data.draw(st.integers(-9, -6)) - extra,
    )


@given(OP_TYPES, TARGET, ARITHMETIC, st.data())
def test_against_the_specification(op_type: str, target: str, arithmetic: Arithmetic, data: st.DataObject) -> None:
    check(draw_case(data, op_type), machine(target, arithmetic))


@given(OP_TYPES, st.data())
def test_omitted_outputs_change_nothing(op_type: str, data: st.DataObject) -> None:
    case = draw_case(data, op_type)
    whole = case.run(machine())
    omit = frozenset(data.draw(st.sampled_from([{0}, {1}, {2}, {0, 2}] if op_type == "LSTM" else [{0}, {1}])))
    for index, got in enumerate(case.run(machine(), omit)):
        assert (got is None) == (index in omit)
        assert got is None or np.array_equal(got, whole[index])


def small(op_type: str = "GRU", **changes: Any) -> Case:
    rng = np.random.default_rng(5)
    rows = GATES[op_type] * 3
    arrays = {
        "x": rng.integers(-128, 128, (4, 1, 2), dtype=np.int8),
        "w": rng.integers(-128, 128, (1, rows, 2), dtype=np.int8),
        "r": rng.integers(-128, 128, (1, rows, 3), dtype=np.int8),
    }
    return Case(op_type, **arrays | changes)


@pytest.mark.parametrize("op_type", ["GRU", "LSTM"])
def test_state_is_not_carried_between_runs(op_type: str) -> None:
    case, on = small(op_type), machine()
    module, inputs, outputs = case.module(), case.inputs(), case.outputs(4)
    for index, constant in module.parameters.items():
        inputs[index] = constant
    module.run(inputs, outputs, machine=on)
    first = [t.data.copy() for t in outputs]
    module.run(inputs, outputs, machine=on)
    assert all(np.array_equal(a, t.data) for a, t in zip(first, outputs, strict=True))


def test_layout_only_says_which_axis_is_the_sequence() -> None:
    case = small()
    plain = case.run(machine())
    case.x = case.x.reshape(1, 4, 2)
    turned = case.run(machine(), layout=1)
    assert [a.tolist() for a in turned if a is not None] == [a.tolist() for a in plain if a is not None]


def test_initial_states_may_change_between_runs() -> None:
    case = small("LSTM", h=np.int8([[[1, 2, 3]]]), c=np.int16([[[100, -200, 300]]]))
    module, inputs, outputs = case.module(), case.inputs(), case.outputs(4)
    for index, constant in module.parameters.items():
        inputs[index] = constant
    for value in (case.h, case.h + 50):
        assert inputs[5] is not None
        inputs[5].data[...] = value
        module.run(inputs, outputs, machine=machine())
        wanted = small("LSTM", h=value, c=case.c).expected(machine())
        assert outputs[0].data.reshape(4, 3).tolist() == np.squeeze(np.array(wanted[0])).tolist()


def test_cell_states_wrap_around() -> None:
    """f, i and g all but 1 add about 2**9 a step to a cell state that starts at the top."""
    w = np.zeros((1, 4, 1), np.int8)
    case = Case("LSTM", np.zeros((2, 1, 1), np.int8), w, w.copy(), np.int16([[32767] * 4 + [0] * 4]), None, np.int16([[[32767]]]))
    check(case, machine())
    last = case.run(machine())[2]
    assert last is not None
    assert last.item() < -31000


def test_table_ends() -> None:
    """Appendix figures: 1613 and 897 steps at exponent -8; the last entry holds beyond."""
    for table, last in ((sigmoid_table(-8), 1613), (tanh_table(-8), 897)):
        assert table.last == last
        assert table(np.array([last + 1, 65534])).tolist() == [table(np.array([last])).item()] * 2
    half = sigmoid_table(-8)(np.array([-40, 0, 40]))
    assert half[1] == np.float32(0.5)
    assert half[0] == np.float32(1) - half[2]
    assert tanh_table(-8)(np.array([-40]))[0] == -tanh_table(-8)(np.array([40]))[0]
    assert GateTable(sigmoid, 6.3, -30, complement=True).last == 65536


def test_products_differ_between_the_two_arithmetics() -> None:
    """A tie that binary32 cannot see: the sum needs more than 24 bits."""
    weights = np.full((1, 8), 32767, np.int16)
    vector = np.int16([[32767, 32767, 32767, 32767, 32767, 32767, 32767, 32766]])
    exact = int((weights.astype(object) * vector).sum())
    shift = 20
    for target in ("c", "esp32s3", "esp32p4"):
        silicon, reference = (GateProduct(weights, np.dtype(np.int16), shift, machine(target, a)) for a in Arithmetic)
        assert silicon(vector).item() == saturated((exact + (1 << shift - 1)) >> shift, 16)
        assert silicon.shifts_integers == (target != "c")
        assert not reference.shifts_integers


@pytest.mark.parametrize(("target", "expected"), [("c", [1, -1]), ("esp32s3", [2, -1]), ("esp32p4", [2, -2])])
def test_ties(target: str, expected: list[int]) -> None:
    weights = np.int8([[3] + [0] * 15, [-3] + [0] * 15])
    product = GateProduct(weights, np.dtype(np.int8), 1, machine(target, Arithmetic.SILICON))
    assert machine(target).chip.rounding is (Rounding.HALF_EVEN if target == "esp32p4" else Rounding.HALF_UP)
    assert product(np.int8([[1] + [0] * 15])).tolist() == [expected if target != "c" else [2, -1]]


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_sums_leave_the_accumulator(target: str) -> None:
    """40 bits hold 511 products of 2**30: brute force, eight products at a time."""
    length = 1024
    weights = np.full((2, length), -32768, np.int16)
    weights[1, 700:] = 32767
    vector = np.full((1, length), -32768, np.int16)
    product = GateProduct(weights, np.dtype(np.int16), 27, machine(target, Arithmetic.SILICON))
    wanted = []
    for row in weights.tolist():
        total = 0
        for start in range(0, length, 8):
            total = saturated(total + sum(a * -32768 for a in row[start : start + 8]), 40)
        wanted.append(saturated((total + (1 << 26)) >> 27, 16))
    assert product(vector).tolist() == [wanted]
    assert product.overflows == 2
    product.restart()
    product(np.zeros_like(vector))
    assert product.overflows == 0
    reference = GateProduct(weights, np.dtype(np.int16), 27, machine(target))
    assert reference(vector)[0].tolist() != wanted


def test_overflows_are_told() -> None:
    length = 1024
    w = np.full((1, 3, length), -32768, np.int16)
    case = Case("GRU", np.full((1, 1, length), -32768, np.int16), w, np.zeros((1, 3, 1), np.int16), x_exponent=-15, w_exponent=7)
    module, inputs, outputs = case.module(), case.inputs(), case.outputs(1)
    for index, constant in module.parameters.items():
        inputs[index] = constant
    module.run(inputs, outputs, machine=machine("esp32s3", Arithmetic.SILICON))
    assert module.warnings == []  # the shift is negative: the C code computes it
    case.w_exponent = -30
    module = case.module()
    module.run([inputs[0], module.parameters[1], module.parameters[2]], outputs, machine=machine("esp32s3", Arithmetic.SILICON))
    assert module.warnings == ["3 sums left the chip's accumulator in the last run"]


def test_8_bit_sums_of_the_c_code_wrap_at_32_bits() -> None:
    weights = np.full((1, 1 << 17), -128, np.int8)
    product = GateProduct(weights, np.dtype(np.int8), 17, machine("c"))
    assert product(np.full((1, 1 << 17), -128, np.int8)).tolist() == [[-16384]]
    assert product.overflows == 1


def test_what_the_chip_ignores_is_told() -> None:
    peepholes = tensor(np.zeros(9, np.int16))
    case = small("LSTM")
    module = case.module(direction="reverse", clip=2.0, activations=["Relu", "Tanh", "Tanh"])
    outputs = case.outputs(4)
    lengths = tensor(np.int32([4]))
    constants = [module.parameters[1], module.parameters[2]]
    module.run([tensor(case.x, -6), *constants, None, lengths, None, None, peepholes], outputs, machine=machine())
    assert outputs[0].data.reshape(4, 3).tolist() == np.squeeze(np.array(case.expected(machine())[0])).tolist()
    text = "; ".join(module.warnings)
    for word in ("direction reverse", "clip", "activations", "sequence_lens", "peepholes"):
        assert word in text
    assert "activations" in case.module(activations=7).warnings[0]
    other = small(h=np.int8([[[1, 2, 3]]]))
    module, inputs = other.module(), other.inputs()
    inputs[5] = tensor(other.h, -3)
    inputs[1:3] = module.parameters[1], module.parameters[2]
    module.run(inputs, other.outputs(4), machine=machine())
    assert "initial_h has exponent -3" in module.warnings[0]


@pytest.mark.parametrize(
    ("op_type", "attributes", "message"),
    [
        ("GRU", {"linear_before_reset": 0}, "linear_before_reset is 0"),
        ("LSTM", {"input_forget": 1}, "input_forget is 1"),
        ("GRU", {"gate_exponent": -31}, "gate_exponent -31 is impossible"),
        ("GRU", {"hidden_size": 4}, "does not fit hidden_size 4"),
        ("GRU", {"direction": "bidirectional"}, r"W has shape \[1, 9, 2\]"),
        ("LSTM", {"layout": 1}, "a batch of 4"),
    ],
)
def test_refused_attributes(op_type: str, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        small(op_type).run(machine(), **attributes)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (small(x=np.zeros((4, 2, 2), np.int8)), "a batch of 2"),
        (small(x=np.zeros((4, 2), np.int8)), "rank 3"),
        (small(w=np.zeros((1, 9, 3), np.int8)), r"\[1, 9, 2\] fits"),
        (small(r=np.zeros((1, 8, 3), np.int8)), r"\[1, 9, 3\] fits"),
        (small(b=np.zeros((1, 9), np.int16)), "18 values fit"),
        (small(b=np.zeros((1, 18), np.int8)), "B is int8"),
        (small(w=np.zeros((1, 9, 2), np.int16)), "W is int16, X int8"),
        (small(h=np.zeros((1, 1, 2), np.int8)), "initial state 0 has shape"),
        (small(h=np.zeros((1, 1, 3), np.int16)), "the initial h is int16"),
        (small("LSTM", c=np.zeros((1, 1, 3), np.int8)), "the initial c is int8"),
        (small(x=np.zeros((4, 1, 2), np.float32)), "W is int8, so it must be too|W is int8"),
    ],
)
def test_refused_tensors(case: Case, message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        case.run(machine())


def test_refused_outputs() -> None:
    case = small("LSTM")
    with pytest.raises(EspdlError, match="neither Y nor Y_h"):
        case.run(machine(), frozenset({0, 1}))
    module, outputs = case.module(), case.outputs(4)
    inputs = [tensor(case.x, -6), module.parameters[1], module.parameters[2]]
    for index, output, message in (
        (1, TensorBase([1, 1, 3], None, -6, DType.INT8), "different exponents"),
        (2, TensorBase([1, 1, 3], None, -8, DType.INT16), "Y_c has exponent"),
        (2, TensorBase([1, 1, 3], None, -9, DType.INT8), "the last c is int8"),
    ):
        with pytest.raises(EspdlError, match=message):
            module.run(inputs, [output if i == index else t for i, t in enumerate(outputs)], machine=machine())
    variable = make("LSTM", {1: module.parameters[1]})
    with pytest.raises(EspdlError, match="R must be a constant"):
        variable.run(inputs, outputs, machine=machine())
    with pytest.raises(EspdlError, match="output 0 is missing"):
        make("Relu").run(tensor(case.x), [None], machine=machine())
