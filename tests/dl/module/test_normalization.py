"""Softmax and the normalizations against runtime spec 3.7 and 3.8, in binary32 step by step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from tests.dl.module.harness import IN_PLACE, INTEGER_DTYPES, TARGET, fl32, integers, machine, make, quantized, run, tensor
from tests.dl.module.test_reduce import float_total, newton


def expf(t: float) -> float:
    return fl32(math.exp(t)) if t < 88.7 else math.inf


def softmax_oracle(row: list[int], exponent: int, bits: int) -> tuple[list[float], list[float]]:
    """Softmax and LogSoftmax of raw values."""
    scale = 2.0**exponent
    top = max(row) if bits == 16 else 0
    shifted = [fl32((v - top) * scale) for v in row]
    exponentials = [expf(v) for v in shifted]
    total = float_total(exponentials)
    return [fl32(e / total) for e in exponentials], [fl32(v - fl32(math.log(total))) for v in shifted]


@given(INTEGER_DTYPES, st.sampled_from([((5,), -1), ((2, 4), 1), ((3, 2), 0), ((2, 3, 2), -2)]), st.integers(-2, 2), st.data())
def test_softmax(dtype: np.dtype, case: tuple[tuple[int, ...], int], shift: int, data: st.DataObject) -> None:
    shape, axis = case
    bits = np.iinfo(dtype).bits
    exponent = (-5 if bits == 8 else -13) + shift
    x = data.draw(integers(dtype, shape))
    rows = np.moveaxis(x, axis, -1).reshape(-1, shape[axis]).tolist()
    for which, op_type in enumerate(("Softmax", "LogSoftmax")):
        expected = np.array([softmax_oracle(row, exponent, bits)[which] for row in rows], np.float32)
        result = run(make(op_type, axis=axis), tensor(x, exponent), dtype=np.float32)
        np.testing.assert_array_equal(np.moveaxis(result, axis, -1).reshape(expected.shape), expected)


def test_softmax_of_large_8_bit_values_overflows_as_on_the_chip() -> None:
    result = run(make("Softmax"), tensor(np.int8([127, 0]), 0), dtype=np.float32)
    assert np.isnan(result[0])
    assert result[1] == 0


def test_softmax_float32_and_scalars() -> None:
    x = np.float32([[1000, 1001], [3, 3]])
    np.testing.assert_allclose(
        run(make("Softmax"), tensor(x)), [[1 / (1 + math.e), math.e / (1 + math.e)], [0.5, 0.5]], rtol=1e-6
    )
    np.testing.assert_allclose(run(make("LogSoftmax"), tensor(x))[1], [math.log(0.5)] * 2, rtol=1e-6)
    assert run(make("Softmax"), tensor(np.float32(4))).tolist() == 1
    with pytest.raises(EspdlError, match="writes float32"):
        run(make("Softmax"), tensor(np.int8([1, 2])))


@given(INTEGER_DTYPES, TARGET, st.booleans(), IN_PLACE, st.sampled_from([(3, 4), (2, 2, 5), (1, 1)]), st.data())
def test_layer_normalization(
    dtype: np.dtype, target: str, has_bias: bool, in_place: bool, shape: tuple[int, ...], data: st.DataObject
) -> None:
    bits, inner = np.iinfo(dtype).bits, shape[-1]
    ei, es, eb, eo = (-4, -6, -5, -5) if bits == 8 else (-12, -14, -13, -12)
    x, scale, bias = data.draw(integers(dtype, shape)), data.draw(integers(dtype, (inner,))), data.draw(integers(dtype, (inner,)))
    expected = []
    for row in x.reshape(-1, inner).tolist():
        mean = fl32(sum(row) / inner)
        variance = float_total([fl32(fl32(v - mean) ** 2) for v in row])
        mean, variance = fl32(mean * 2.0**ei), fl32(fl32(variance * 4.0**ei) / inner)
        inverse = fl32(1 / newton(fl32(variance + fl32(1e-5))))
        for v, s, b in zip(row, scale.tolist(), bias.tolist(), strict=True):
            value = fl32(fl32(fl32(v * 2.0**ei - mean) * inverse) * (s * 2.0**es))
            value = fl32(value + b * 2.0**eb) if has_bias else value
            expected.append(quantized(value, eo, machine(target).chip.rounding, bits))
    constants = {1: tensor(scale, es), **({2: tensor(bias, eb)} if has_bias else {})}
    result = run(make("LayerNormalization", constants), tensor(x, ei), exponent=eo, on=machine(target), in_place=in_place)
    assert result.ravel().tolist() == expected


def test_layer_normalization_over_several_axes_in_float32() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    scale, bias = np.full((3, 4), 2, np.float32), np.ones((3, 4), np.float32)
    mean, variance = x.mean(axis=(1, 2), keepdims=True), x.var(axis=(1, 2), keepdims=True)
    result = run(make("LayerNormalization", {1: tensor(scale), 2: tensor(bias)}, axis=1, epsilon=0.1), tensor(x))
    np.testing.assert_allclose(result, (x - mean) / np.sqrt(variance + 0.1) * 2 + 1, rtol=1e-4, atol=1e-5)
    with pytest.raises(EspdlError, match="must have 4 values"):
        run(make("LayerNormalization", {1: tensor(scale)}), tensor(x))


@given(INTEGER_DTYPES, TARGET, IN_PLACE, st.data())
def test_rms_normalization(dtype: np.dtype, target: str, in_place: bool, data: st.DataObject) -> None:
    bits = np.iinfo(dtype).bits
    ei, eo = (-4, -5) if bits == 8 else (-12, -12)
    x = data.draw(integers(dtype, (3, 4)))
    scale = np.random.default_rng(2).normal(size=4).astype(np.float32)
    expected = []
    for row in x.tolist():
        mean = fl32(fl32(fl32(sum(v * v for v in row)) * 4.0**ei) / 4)
        inverse = fl32(1 / fl32(math.sqrt(fl32(mean + fl32(1e-5))))) * 2.0 ** (ei - eo)
        values = [fl32(fl32(v * inverse) * s) for v, s in zip(row, scale.tolist(), strict=True)]
        expected += [quantized(v, 0, machine(target).chip.rounding, bits) for v in values]
    module = make("RMSNormalization", {1: tensor(scale)})
    assert run(module, tensor(x, ei), exponent=eo, on=machine(target), in_place=in_place).ravel().tolist() == expected


def test_rms_normalization_float32_and_refusals() -> None:
    x = np.float32([[3, 4], [6, 8]])
    result = run(make("RMSNormalization", {1: tensor(np.float32([1, 2]))}, epsilon=0.0), tensor(x))
    np.testing.assert_allclose(result, x / np.sqrt([[12.5], [50]]) * [1, 2], rtol=1e-6)
    with pytest.raises(EspdlError, match="a scale of type int8"):
        run(make("RMSNormalization", {1: tensor(np.int8([1, 2]))}), tensor(np.int8([[1, 2]])))
    with pytest.raises(EspdlError, match="a scale of 3 values"):
        run(make("RMSNormalization", {1: tensor(np.zeros(3, np.float32))}), tensor(x))


@given(INTEGER_DTYPES, TARGET, st.sampled_from([1, 2]), st.sampled_from([-1, 0]), IN_PLACE, st.data())
def test_lp_normalization(dtype: np.dtype, target: str, p: int, axis: int, in_place: bool, data: st.DataObject) -> None:
    bits = np.iinfo(dtype).bits
    eo = -7 if bits == 8 else -15
    x = data.draw(integers(dtype, (3, 4)))
    expected = []
    for row in np.moveaxis(x, axis, -1).tolist():
        norm = fl32(sum(map(abs, row))) if p == 1 else fl32(math.sqrt(fl32(sum(v * v for v in row))))
        factor = fl32(1 / norm) * 2.0**-eo if norm else 0.0
        expected.append([quantized(fl32(v * factor), 0, machine(target).chip.rounding, bits) for v in row])
    result = run(make("LpNormalization", axis=axis, p=p), tensor(x, 3), exponent=eo, on=machine(target), in_place=in_place)
    assert np.moveaxis(result, axis, -1).tolist() == expected


@pytest.mark.parametrize(("p", "expected"), [(1, [[3 / 7, 4 / 7], [0, 0]]), (2, [[0.6, 0.8], [0, 0]])])
def test_lp_normalization_float32(p: int, expected: Any) -> None:
    np.testing.assert_allclose(run(make("LpNormalization", p=p), tensor(np.float32([[3, 4], [0, 0]]))), expected, rtol=1e-6)
    with pytest.raises(EspdlError, match="order 1 or 2"):
        make("LpNormalization", p=3)
