"""Operators of one value against the formulas of runtime spec 3.5 and 3.6, value by value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.module import MODULE_TYPES
from espdl.dl.module.unary import Unary
from espdl.dtypes import Int16Lut
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from tests.dl.module.harness import TARGET, TARGETS, fl32, machine, make, quantized, run, saturated, shifted, tensor

ALL8 = np.arange(-128, 128).astype(np.int8)
SOME16 = np.unique(np.concatenate((np.arange(-32768, 32768, 641), [-32768, -1, 0, 1, 32767]))).astype(np.int16)


def expf(t: float) -> float:
    return fl32(math.exp(t)) if t < 88.7 else math.inf


def sigmoid(t: float) -> float:
    return fl32(1.0 / (1.0 + expf(-t)))


def clamp01(t: float) -> float:
    return max(0.0, min(1.0, t))


Oracle = Callable[[float], float]
CASES: list[tuple[str, dict[str, Any], Oracle]] = [
    ("Relu", {}, lambda t: max(t, 0.0)),
    ("LeakyRelu", {}, lambda t: t if t >= 0 else fl32(t * fl32(0.01))),
    ("LeakyRelu", {"alpha": 0.25}, lambda t: t if t >= 0 else t * 0.25),
    ("Elu", {}, lambda t: t if t >= 0 else fl32(expf(t) - 1)),
    ("Elu", {"alpha": 0.3}, lambda t: t if t >= 0 else fl32(fl32(expf(t) - 1) * fl32(0.3))),
    ("Sigmoid", {}, sigmoid),
    ("Tanh", {}, lambda t: fl32(2 * sigmoid(2 * t) - 1)),
    ("Swish", {}, lambda t: fl32(sigmoid(t) * t)),
    ("HardSigmoid", {}, lambda t: clamp01(fl32(fl32(t * fl32(0.2)) + 0.5))),
    ("HardSigmoid", {"alpha": 0.5, "beta": 0.25}, lambda t: clamp01(fl32(t * 0.5 + 0.25))),
    ("HardSwish", {}, lambda t: fl32(clamp01(0.166667 * t + 0.5) * t)),
    ("Exp", {}, expf),
    ("Log", {}, lambda t: fl32(math.log(t)) if t > 0 else (-math.inf if t == 0 else math.nan)),
    ("Sqrt", {}, lambda t: fl32(math.sqrt(t)) if t >= 0 else math.nan),
]


@pytest.mark.parametrize("target", ["c", "esp32p4"])
@pytest.mark.parametrize(("input_exponent", "output_exponent"), [(-5, -5), (-4, -7), (-6, -3), (0, 0)])
@pytest.mark.parametrize(("op_type", "attributes", "oracle"), CASES)
def test_integers(
    op_type: str, attributes: dict[str, Any], oracle: Oracle, input_exponent: int, output_exponent: int, target: str
) -> None:
    rounding = machine(target).chip.rounding
    for values, bits, extra in ((ALL8, 8, 0), (SOME16, 16, -8)):
        ei, eo = input_exponent + extra, output_exponent + extra
        expected = [quantized(oracle(float(v) * 2.0**ei), eo, rounding, bits) for v in values.tolist()]
        result = run(make(op_type, **attributes), tensor(values, ei), exponent=eo, on=machine(target), in_place=True)
        assert result.tolist() == expected


@pytest.mark.parametrize(("op_type", "attributes", "oracle"), CASES)
def test_float32(op_type: str, attributes: dict[str, Any], oracle: Oracle) -> None:
    values = np.linspace(-9, 9, 37, dtype=np.float32)
    expected = np.array([oracle(float(v)) for v in values], dtype=np.float32)
    np.testing.assert_array_equal(run(make(op_type, **attributes), tensor(values), in_place=True), expected)


@pytest.mark.parametrize(("op_type", "attributes", "oracle"), CASES)
def test_float_form_keeps_the_precision_of_its_argument(op_type: str, attributes: dict[str, Any], oracle: Oracle) -> None:
    values = np.linspace(0.1, 4, 9)
    with np.errstate(all="ignore"):
        wide, narrow = (make(op_type, **attributes).float_forward(values.astype(t)) for t in (np.float64, np.float32))
    assert isinstance(wide, np.ndarray)
    assert isinstance(narrow, np.ndarray)
    assert (wide.dtype, narrow.dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(wide, narrow, rtol=1e-6)


@pytest.mark.parametrize(
    "op_type", ["Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Swish", "HardSigmoid", "HardSwish", "Exp", "Clip"]
)
def test_an_8_bit_table_is_used_as_it_stands(op_type: str) -> None:
    table = np.random.default_rng(1).integers(-128, 128, 256).astype(np.int8)
    module = make(op_type, lut=tensor(table, -3))
    assert run(module, tensor(ALL8.reshape(2, 128), -5), exponent=-3, in_place=True).ravel().tolist() == table.tolist()


def test_a_16_bit_table_of_an_activation_is_ignored() -> None:
    x = tensor(SOME16, -12)
    with_table = run(make("Sqrt", lut=tensor(np.zeros(257, np.int16), -13)), x, exponent=-13)
    np.testing.assert_array_equal(with_table, run(make("Sqrt"), x, exponent=-13))


def test_relu_rescales() -> None:
    assert run(make("Relu"), tensor(np.array([-4, 1, 3, 5], np.int8), -1), exponent=0).tolist() == [0, 1, 2, 3]
    result = run(make("Relu"), tensor(np.array([-4, 1, 3, 5], np.int8), -1), exponent=0, on=machine("esp32p4"))
    assert result.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_neg_ignores_exponents_and_saturates(dtype: Any) -> None:
    limits = np.iinfo(dtype)
    values = np.array([limits.min, limits.min + 1, -1, 0, 1, limits.max], dtype)
    module = make("Neg", lut=tensor(np.zeros(256, np.int8), 7))
    assert run(module, tensor(values, -3), exponent=7, in_place=True).tolist() == [limits.max, limits.max, 1, 0, -1, -limits.max]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("step", [1, 2, 32, 256])
def test_16_bit_tables_take_the_nearest_entry(step: int, target: str) -> None:
    entries = 65536 // step + 1
    table = np.random.default_rng(step).integers(-32768, 32768, entries).astype(np.int16)
    values = np.concatenate((SOME16, np.arange(-200, 200, dtype=np.int16)))
    half_even = machine(target).chip.rounding is Rounding.HALF_EVEN
    expected = []
    for value in values.tolist():
        quotient, remainder = divmod(value + 32768, step)
        up = 2 * remainder > step or (step > 1 and 2 * remainder == step and (not half_even or quotient % 2 == 1))
        expected.append(int(table[quotient + up]))
    for op_type in ("LUT", "Gelu"):
        module = make(op_type, lut=tensor(table, -9))
        assert run(module, tensor(values, -4), exponent=-9, on=machine(target), in_place=True).tolist() == expected


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("step", [1, 2, 32, 256, 65536])
def test_16_bit_tables_between_their_entries(step: int, target: str) -> None:
    table = np.random.default_rng(step).integers(-32768, 32768, 65536 // step + 1).astype(np.int16)
    table[:2] = 32767, -32768
    values = np.concatenate((SOME16, np.arange(-200, 200, dtype=np.int16)))
    expected = []
    for value in values.tolist():
        index, rest = divmod(value + 32768, step)
        rise = rest * (int(table[index + 1]) - int(table[index]))
        expected.append(int(table[index]) + (rise // step if rise >= 0 else -(-rise // step)))
    on = replace(machine(target), int16_lut=Int16Lut.INTERPOLATING)
    for op_type in ("LUT", "Gelu"):
        module = make(op_type, lut=tensor(table, -9))
        assert run(module, tensor(values, -4), exponent=-9, on=on, in_place=True).tolist() == expected


def test_a_full_16_bit_table_has_nothing_between() -> None:
    table = np.random.default_rng(1).integers(-32768, 32768, 65536).astype(np.int16)
    on = replace(machine(), int16_lut=Int16Lut.INTERPOLATING)
    assert run(make("LUT", lut=tensor(table, 0)), tensor(SOME16, 0), on=on).tolist() == table[SOME16.astype(int) + 32768].tolist()


def test_a_full_16_bit_table() -> None:
    table = np.arange(-32768, 32768).astype(np.int16)[::-1].copy()
    assert run(make("LUT", lut=tensor(table, 0)), tensor(SOME16, 0)).tolist() == [-v - 1 for v in SOME16.tolist()]


@pytest.mark.parametrize(
    ("values", "lut", "exponent", "words"),
    [
        (ALL8, None, 0, "no table"),
        (ALL8, tensor(np.zeros(255, np.int8)), 0, "255 entries"),
        (ALL8, tensor(np.zeros(256, np.int16)), 0, "the table is int16"),
        (ALL8, tensor(np.zeros(256, np.int8), -1), 0, "another output"),
        (SOME16, tensor(np.zeros(258, np.int16)), 0, "258 entries"),
        (SOME16, tensor(np.zeros(1, np.int16)), 0, "1 entries"),
        (np.zeros(3, np.float32), tensor(np.zeros(256, np.int8)), 0, "no float32 form"),
    ],
)
def test_tables_that_cannot_be_used(values: np.ndarray, lut: Any, exponent: int, words: str) -> None:
    module = make("LUT", **({} if lut is None else {"lut": lut}))
    with pytest.raises(EspdlError, match=words) as caught:
        run(module, tensor(values), exponent=exponent)
    assert "'node' (LUT)" in str(caught.value)


def test_float_form_of_a_table_is_that_of_its_operator() -> None:
    x = np.linspace(-3, 3, 13, dtype=np.float32)
    lut = make("LUT", original_op_type="LeakyRelu", alpha=0.1, int16_lut_step=32)
    np.testing.assert_array_equal(lut.float_forward(x), make("LeakyRelu", alpha=0.1).float_forward(x))
    with pytest.raises(EspdlError, match="no known operator"):
        make("LUT").float_forward(x)


def test_gelu() -> None:
    x = np.linspace(-4, 4, 17, dtype=np.float32)
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    np.testing.assert_allclose(make("Gelu").float_forward(x), exact, atol=1e-6)
    tanh = [0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x.tolist()]
    np.testing.assert_allclose(make("Gelu", approximate="tanh").float_forward(x), tanh, atol=1e-6)


@given(TARGET, st.integers(-128, 127), st.integers(-128, 127), st.integers(-3, 3), st.booleans(), st.booleans())
def test_clip(target: str, low: int, high: int, shift: int, has_low: bool, has_high: bool) -> None:
    rounding = machine(target).chip.rounding
    bounds = (tensor(np.int8(low), -4) if has_low else None, tensor(np.int8(high), -4) if has_high else None)
    expected = []
    for value in ALL8.tolist():
        value = max(value, low) if has_low else value
        value = min(value, high) if has_high else value
        expected.append(shifted(value, shift, rounding, 8))
    assert (
        run(make("Clip"), tensor(ALL8, -4), *bounds, exponent=-4 + shift, on=machine(target), in_place=True).tolist() == expected
    )


def test_clip_float32_has_the_chips_missing_minimum() -> None:
    x = tensor(np.array([-2, -0.5, 0, 3, 9], np.float32))
    six = tensor(np.float32(6))
    tiny = float(np.finfo(np.float32).tiny)
    np.testing.assert_array_equal(run(make("Clip"), x, None, six), np.array([tiny, tiny, tiny, 3, 6], np.float32))
    np.testing.assert_array_equal(run(make("Clip"), x), x.data)
    np.testing.assert_array_equal(make("Clip").float_forward(x.data, None, six.data), [-2, -0.5, 0, 3, 6])


def test_clip_refuses_bounds_of_another_type() -> None:
    with pytest.raises(EspdlError, match="a bound must be one value of the type of the input"):
        run(make("Clip"), tensor(ALL8), tensor(np.float32(0)))


@given(TARGET, st.sampled_from([np.int8, np.int16]), st.integers(-3, 3), st.integers(-9, -6), st.data())
def test_prelu(target: str, dtype: Any, output_shift: int, slope_exponent: int, data: st.DataObject) -> None:
    bits, rounding = np.iinfo(dtype).bits, machine(target).chip.rounding
    element = st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)
    x = np.array(data.draw(st.lists(element, min_size=12, max_size=12)), dtype).reshape(1, 2, 2, 3)
    slopes = np.array(data.draw(st.lists(element, min_size=3, max_size=3)), dtype)
    expected = [
        shifted(v, output_shift, rounding, bits)
        if v >= 0
        else shifted(v * int(slopes[i % 3]), output_shift - slope_exponent, rounding, bits)
        for i, v in enumerate(x.ravel().tolist())
    ]
    module = make("PRelu", {1: tensor(slopes.reshape(3, 1, 1), slope_exponent)})
    result = run(module, tensor(x, -4), exponent=-4 + output_shift, on=machine(target), in_place=True)
    assert result.ravel().tolist() == expected


def test_prelu_float_table_and_refusals() -> None:
    x = np.array([-2, 3, -4, 5], np.float32).reshape(1, 1, 2, 2)
    slope = tensor(np.array([0.5, 0.25], np.float32).reshape(2, 1, 1))
    assert run(make("PRelu", {1: slope}), tensor(x)).ravel().tolist() == [-1, 3, -2, 5]
    table = tensor(np.arange(256).astype(np.uint8).view(np.int8), -2)
    module = make("PRelu", {1: tensor(np.int8([[[3]]]), -5)}, lut=table)
    assert run(module, tensor(np.int8([[[[-128, 127]]]])), exponent=-2).ravel().tolist() == [0, -1]
    with pytest.raises(EspdlError, match="N, H, W, C"):
        make("PRelu", {1: slope}).get_output_shape([[1, 2, 2], [2, 1, 1]])
    with pytest.raises(EspdlError, match="2 slopes for 3 channels"):
        run(make("PRelu", {1: slope}), tensor(np.zeros((1, 1, 1, 3), np.float32)))


def test_mixed_types_are_refused() -> None:
    for op_type, cls in MODULE_TYPES.items():
        if issubclass(cls, Unary) and op_type not in ("PRelu", "LUT", "Gelu"):
            with pytest.raises(EspdlError, match="different types"):
                run(make(op_type), tensor(ALL8), dtype=np.int16)


def test_saturation_helper_of_these_tests() -> None:
    assert [saturated(v, 8) for v in (-129, -128, 127, 128)] == [-128, -128, 127, 127]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "op_type", ["Exp", "Log", "Sqrt", "Swish", "Tanh", "ReduceSum", "ReduceLogSumExp", "Softmax", "LpNormalization", "Neg"]
)
def test_infinities_and_nan_pass_in_silence(op_type: str) -> None:
    x = np.float32([[np.inf, -np.inf, np.nan, 3e38, -3e38, 0]])
    assert run(make(op_type), tensor(x)).size
