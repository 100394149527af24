"""Resize against runtime spec 3.11, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.module import Module
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from tests.dl.module.harness import TARGET, fl32, integers, machine, make, quantized, run, saturated, shifted, tensor

EXTENTS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=2)


def resizer(sizes: list[int] | None = None, scales: list[float] | None = None, **attributes: Any) -> Module:
    """Spatial sizes or scales; the entries of batch and channels are put in front, in ONNX's order."""
    if sizes is not None:
        return make("Resize", {3: tensor(np.array([1, 2, *sizes], np.int64))}, **attributes)
    return make("Resize", {2: tensor(np.array([1, 1, *(scales or [])], np.float32))}, **attributes)


def shape_of(extents: list[tuple[int, int]]) -> tuple[int, ...]:
    return (1, *(length for length, _ in extents), 2)


@given(EXTENTS, TARGET, st.integers(-2, 2), st.data())
def test_nearest(extents: list[tuple[int, int]], target: str, shift: int, data: st.DataObject) -> None:
    x = data.draw(integers(np.int8, shape_of(extents)))
    sources = [[min(int(fl32(i * fl32(length / wanted))), length - 1) for i in range(wanted)] for length, wanted in extents]
    rounding = machine(target).chip.rounding
    picked = x[np.ix_([0], *sources, [0, 1])]
    expected = [shifted(v, shift, rounding, 8) for v in picked.ravel().tolist()]
    result = run(resizer([wanted for _, wanted in extents]), tensor(x, -3), exponent=-3 + shift, on=machine(target))
    assert result.shape == picked.shape
    assert result.ravel().tolist() == expected


def linear_tap(index: int, length: int, wanted: int, corners: bool) -> tuple[int, int, float]:
    if corners:
        position = fl32(fl32(index * (length - 1)) / max(wanted - 1, 1))
    else:
        position = fl32(fl32((index + 0.5) * fl32(length / wanted)) - 0.5)
    low, ratio = math.floor(position), fl32(position - math.floor(position))
    if low < 0:
        low, ratio = 0, 0.0
    if low >= length - 1:
        low, ratio = length - 2, 1.0
    return max(low, 0), min(max(low, 0) + 1, length - 1), ratio


def lerp(a: float, b: float, ratio: float) -> float:
    return fl32(fl32(a * fl32(1 - ratio)) + fl32(b * ratio))


@given(EXTENTS, TARGET, st.booleans(), st.integers(-2, 2), st.data())
def test_linear(extents: list[tuple[int, int]], target: str, corners: bool, shift: int, data: st.DataObject) -> None:
    x = data.draw(integers(np.int8, shape_of(extents)))
    rounding = machine(target).chip.rounding
    image = x.astype(int) if x.ndim == 4 else x[:, None].astype(int)
    rows, columns = extents if len(extents) == 2 else [(1, 1), *extents]
    expected = []
    for i in range(rows[1]):
        top, bottom, down = linear_tap(i, *rows, corners)
        for j in range(columns[1]):
            left, right, across = linear_tap(j, *columns, corners)
            for c in range(2):
                upper = lerp(image[0, top, left, c], image[0, top, right, c], across)
                lower = lerp(image[0, bottom, left, c], image[0, bottom, right, c], across)
                expected.append(quantized(lerp(upper, lower, down) if len(extents) == 2 else upper, shift, rounding, 8))
    mode = "align_corners" if corners else "half_pixel"
    module = resizer([wanted for _, wanted in extents], mode="linear", coordinate_transformation_mode=mode)
    assert run(module, tensor(x, -3), exponent=-3 + shift, on=machine(target)).ravel().tolist() == expected


def test_scales() -> None:
    x = np.arange(8, dtype=np.int8).reshape(1, 2, 2, 2)
    result = run(resizer(scales=[2, 3]), tensor(x))
    np.testing.assert_array_equal(result, x.repeat(2, axis=1).repeat(3, axis=2))
    assert resizer(scales=[1.6, 0.5]).get_output_shape([[1, 5, 5, 2]]) == [[1, 8, 2, 2]]
    np.testing.assert_array_equal(resizer(scales=[2, 3]).float_forward(x), result)


def test_nearest_saturates() -> None:
    x = np.int8([[[[100]]]])
    assert run(resizer([1, 1]), tensor(x, 0), exponent=-1).item() == saturated(200, 8)
    assert run(resizer([1, 1]), tensor(np.int8([[[[3]]]]), 0), exponent=1, on=machine("esp32p4")).item() == 2
    assert machine("esp32p4").chip.rounding is Rounding.HALF_EVEN


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_only_8_bits(dtype: Any) -> None:
    with pytest.raises(EspdlError, match="Resize has no") as caught:
        run(resizer([2, 2]), tensor(np.zeros((1, 1, 1, 1), dtype)))
    assert "'node'" in str(caught.value)


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (lambda: resizer([2, 2], mode="cubic"), [1, 2, 2, 2], "mode 'cubic'"),
        (lambda: make("Resize"), [1, 2, 2, 2], "neither scales nor sizes"),
        (lambda: resizer([2]), [1, 2, 2, 2], "3 scales or sizes"),
        (lambda: resizer([0, 2]), [1, 2, 2, 2], "an output of 0"),
        (lambda: resizer(scales=[math.nan, 1]), [1, 2, 2, 2], "a scale of nan"),
        (lambda: resizer(scales=[0.2, 1]), [1, 2, 2, 2], "an output of 0"),
        (lambda: resizer([2, 2]), [2, 2, 2, 2], "a batch of 2"),
    ],
)
def test_refusals(module: Any, shape: list[int], words: str) -> None:
    with pytest.raises(EspdlError, match=words):
        module().get_output_shape([shape])
