"""Pooling against runtime spec 3.10, window by window."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from tests.dl.module.harness import INTEGER_DTYPES, TARGET, fl32, integers, machine, make, quantized, run, tensor


@st.composite
def windows(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, list[int]]]:
    """An input [1, spatial axes, C] and the attributes of a window that fits it."""
    axes = draw(st.integers(1, 2))
    lengths = draw(st.lists(st.integers(1, 6), min_size=axes, max_size=axes))
    before, behind = ([draw(st.integers(0, 3)) for _ in range(axes)] for _ in range(2))
    kernel = [draw(st.integers(1, length + a + b)) for length, a, b in zip(lengths, before, behind, strict=True)]
    strides = [draw(st.integers(1, 4)) for _ in range(axes)]
    x = draw(integers(draw(INTEGER_DTYPES), (1, *lengths, draw(st.integers(1, 3)))))
    return x, {"kernel_shape": kernel, "strides": strides, "pads": before + behind}


def taps(x: np.ndarray, attributes: dict[str, list[int]]) -> tuple[list[int], list[list[int]]]:
    """Output shape, and for every output the raw values in its window; pads have none."""
    kernel, strides, pads = attributes["kernel_shape"], attributes["strides"], attributes["pads"]
    axes = len(kernel)
    spatial = [(x.shape[1 + i] + pads[i] + pads[axes + i] - kernel[i]) // strides[i] + 1 for i in range(axes)]
    found = []
    for *place, channel in product(*map(range, spatial), range(x.shape[-1])):
        values = []
        for offset in product(*map(range, kernel)):
            at = [p * s - pads[i] + o for i, (p, s, o) in enumerate(zip(place, strides, offset, strict=True))]
            if all(0 <= a < x.shape[1 + i] for i, a in enumerate(at)):
                values.append(int(x[(0, *at, channel)]))
        found.append(values)
    return [1, *spatial, x.shape[-1]], found


@given(windows())
def test_max_pool(case: tuple[np.ndarray, dict[str, list[int]]]) -> None:
    x, attributes = case
    shape, found = taps(x, attributes)
    lowest = np.iinfo(x.dtype).min
    result = run(make("MaxPool", **attributes), tensor(x, -3), exponent=5)
    assert list(result.shape) == shape
    assert result.ravel().tolist() == [max(values, default=lowest) for values in found]


@given(windows(), TARGET, st.integers(-3, 3))
def test_average_pool_divides_by_the_whole_kernel(case: tuple[np.ndarray, dict[str, list[int]]], target: str, shift: int) -> None:
    x, attributes = case
    shape, found = taps(x, attributes)
    scale = fl32(2.0**-shift / np.prod(attributes["kernel_shape"]))
    rounding, bits = machine(target).chip.rounding, np.iinfo(x.dtype).bits
    expected = [quantized(fl32(fl32(sum(values)) * scale), 0, rounding, bits) for values in found]
    result = run(make("AveragePool", count_include_pad=0, **attributes), tensor(x, -6), exponent=-6 + shift, on=machine(target))
    assert list(result.shape) == shape
    assert result.ravel().tolist() == expected


@given(INTEGER_DTYPES, st.sampled_from([(1, 4, 2), (1, 3, 5, 2), (1, 1, 1, 3), (1, 7, 7, 1)]), TARGET, st.data())
def test_global_average_pool(dtype: Any, shape: tuple[int, ...], target: str, data: st.DataObject) -> None:
    x = data.draw(integers(dtype, shape))
    area = int(np.prod(shape[1:-1]))
    rounding, bits = machine(target).chip.rounding, np.iinfo(dtype).bits
    sums = x.reshape(area, -1).astype(int).sum(axis=0).tolist()
    expected = [quantized(fl32(total * fl32(1.0 / area)), -2, rounding, bits) for total in sums]
    result = run(make("GlobalAveragePool"), tensor(x, 0), exponent=-2, on=machine(target))
    assert result.shape == (1, *[1] * (len(shape) - 2), shape[-1])
    assert result.ravel().tolist() == expected


def test_float32() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    average = run(make("AveragePool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0]), tensor(x))
    np.testing.assert_allclose(average.ravel(), [2.5, 4.5, 10.5, 12.5])
    np.testing.assert_allclose(run(make("GlobalAveragePool"), tensor(x)).ravel(), [7.5])
    biggest = make("MaxPool", kernel_shape=[3, 3], strides=[1, 1], pads=[0, 0, 0, 0])
    np.testing.assert_array_equal(run(biggest, tensor(x)).ravel(), [10, 11, 14, 15])


@pytest.mark.parametrize(
    ("attributes", "shape", "words"),
    [
        ({"kernel_shape": [2, 2]}, [2, 4, 4, 1], "a batch of 2"),
        ({"kernel_shape": [5, 5]}, [1, 4, 4, 1], "larger than its padded input"),
        ({"kernel_shape": [2]}, [1, 4, 4, 1], "a kernel of 1 axes"),
        ({"kernel_shape": [2, 2]}, [1, 4], r"\[1, W, C\] or \[1, H, W, C\]"),
    ],
)
def test_shapes_that_cannot_be_pooled(attributes: dict[str, list[int]], shape: list[int], words: str) -> None:
    with pytest.raises(EspdlError, match=words):
        make("MaxPool", **attributes).get_output_shape([shape])


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"kernel_shape": [2, 2, 2]},
        {"kernel_shape": [0, 2]},
        {"kernel_shape": [2, 2], "strides": [0, 1]},
        {"kernel_shape": [2, 2], "pads": [0, 0]},
        {"kernel_shape": [2, 2], "pads": [0, 0, -1, 0]},
        {"kernel_shape": "2x2"},
    ],
)
def test_attributes_that_make_no_window(attributes: dict[str, Any]) -> None:
    with pytest.raises(EspdlError):
        make("AveragePool", **attributes)
