"""Quantize, Dequantize and Requantize against ``TensorBase.assign`` and runtime spec 2.3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from tests.dl.module.harness import IN_PLACE, INTEGER_DTYPES, TARGET, integers, machine, make, quantized, run, shifted, tensor


@given(INTEGER_DTYPES, INTEGER_DTYPES, TARGET, st.integers(-9, 9), IN_PLACE, st.data())
def test_requantize(source: np.dtype, target: np.dtype, chip: str, shift: int, in_place: bool, data: st.DataObject) -> None:
    x = data.draw(integers(source, (2, 7)))
    on = machine(chip)
    expected = [shifted(v, shift, on.chip.rounding, np.iinfo(target).bits) for v in x.ravel().tolist()]
    assigned = TensorBase((2, 7), np.zeros((2, 7), target), -7 + shift)
    assert assigned.assign(tensor(x, -7), rounding=on.chip.rounding)
    result = run(make("RequantizeLinear"), tensor(x, -7), exponent=-7 + shift, dtype=target, on=on, in_place=in_place)
    assert result.ravel().tolist() == expected == assigned.data.ravel().tolist()


@given(INTEGER_DTYPES, TARGET, st.integers(-6, 3), st.lists(st.floats(-300, 300, width=32), min_size=4, max_size=4))
def test_quantize(dtype: np.dtype, target: str, exponent: int, values: list[float]) -> None:
    rounding = machine(target).chip.rounding
    expected = [quantized(v, exponent, rounding, np.iinfo(dtype).bits) for v in values]
    result = run(make("QuantizeLinear"), tensor(np.float32(values)), exponent=exponent, dtype=dtype, on=machine(target))
    assert result.tolist() == expected


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_dequantize(dtype: Any) -> None:
    limits = np.iinfo(dtype)
    x = np.array([limits.min, -3, 0, limits.max], dtype)
    result = run(make("DequantizeLinear", {1: tensor(np.float32(9))}), tensor(x, -2), dtype=np.float32)
    assert result.tolist() == [v / 4 for v in x.tolist()]


def test_half_is_rounded_as_the_chip_does_even_where_binary32_cannot_hold_the_sum() -> None:
    below_half = np.nextafter(np.float32(0.5), np.float32(0))
    for target, expected in (("c", [1, 1, 3]), ("esp32p4", [0, 0, 2])):
        x = tensor(np.float32([below_half, 0.5, 2.5]))
        assert run(make("QuantizeLinear"), x, dtype=np.int8, on=machine(target)).tolist() == expected


def test_refusals() -> None:
    with pytest.raises(EspdlError, match="cannot become"):
        run(make("QuantizeLinear"), tensor(np.int32([1])), dtype=np.int8)
    module, on = make("RequantizeLinear"), machine()
    with pytest.raises(EspdlError, match="3 elements cannot become 2"):
        module.run(tensor(np.int8([1, 2, 3])), tensor(np.int8([1, 2])), machine=on)
