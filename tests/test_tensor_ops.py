import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from espdl.tensor_ops import (
    PaddingMode,
    flip_array,
    pad_array,
    padded_shape,
    push_array,
    resolve_shape,
    slice_array,
    slice_indices,
    strides_in_elements,
    transpose_array,
)

CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps", "expected"),
    [
        ([1], [3], [1], None, CUBE[:, 1:3]),
        ([0, 1], [1, 3], None, None, CUBE[0:1, 1:3]),
        ([-3], [-1], [-1], None, CUBE[:, :, 1:3]),
        ([1], [2**31 - 1], [2], [2], CUBE[:, :, 1::2]),
        ([-1], [-(2**31)], [2], [-1], CUBE[:, :, ::-1]),
        ([3], [0], [2], [-2], CUBE[:, :, 3:0:-2]),
        ([-100], [100], [0], [1], CUBE),
    ],
)
def test_slice(starts, ends, axes, steps, expected):
    np.testing.assert_array_equal(slice_array(CUBE, starts, ends, axes, steps), expected)


@given(
    extent=st.integers(1, 7),
    start=st.integers(-9, 9),
    end=st.integers(-9, 9),
    step=st.integers(-3, 3).filter(bool),
)
def test_a_negative_step_is_a_flip_and_a_forward_slice(extent, start, end, step):
    row = np.arange(extent)
    expected = row[slice(start, end, step)]
    if step < 0 and start >= -extent and end >= -extent:
        np.testing.assert_array_equal(expected, row[::-1][slice(-start - 1, -end - 1, -step)])
    if expected.size:
        np.testing.assert_array_equal(slice_array(row, [start], [end], None, [step]), expected)
    else:
        with pytest.raises(EspdlError, match="leaves nothing"):
            slice_array(row, [start], [end], None, [step])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [1], [3], None), "no axis 3"),
        (([0, 0], [1, 1], [1, -2], None), "axis 1 twice"),
        (([0], [1], [0], [0]), "step 0"),
        (([0], [1, 2], [0], [1]), "differ in length: 1, 2, 1 and 1"),
        (([0] * 4, [1] * 4, None, None), "no axis 3"),
    ],
)
def test_slices_that_are_none(arguments, message):
    with pytest.raises(EspdlError, match=message):
        slice_indices(CUBE.shape, *arguments)


def test_flip_and_transpose():
    np.testing.assert_array_equal(flip_array(CUBE, [0, -1]), CUBE[::-1, :, ::-1])
    np.testing.assert_array_equal(flip_array(CUBE, []), CUBE)
    np.testing.assert_array_equal(transpose_array(CUBE), CUBE.T)
    np.testing.assert_array_equal(transpose_array(CUBE, [1, -1, 0]), CUBE.transpose(1, 2, 0))
    for perm in ([0, 1], [0, 0, 1], [0, 1, 3]):
        with pytest.raises(EspdlError):
            transpose_array(CUBE, perm)


def test_pad():
    square = np.array([[1, 2, 3], [4, 5, 6]], np.int8)
    np.testing.assert_array_equal(pad_array(square, [0, 1, 1, 0], value=-9), [[-9, 1, 2, 3], [-9, 4, 5, 6], [-9, -9, -9, -9]])
    np.testing.assert_array_equal(pad_array(square, [0, 2, 0, 1], "edge"), [[1, 1, 1, 2, 3, 3], [4, 4, 4, 5, 6, 6]])
    np.testing.assert_array_equal(pad_array(square, [1, 0, 0, 2], PaddingMode.REFLECT)[:, 2:], [[6, 5, 4], [3, 2, 1], [6, 5, 4]])
    assert pad_array(square, [0, 0, 0, 0]).dtype == np.int8
    five = pad_array(np.ones((1, 1, 2, 1, 2), np.int8), [1, 0, 0, 0, 1] + [0] * 5)
    assert five.shape == (2, 1, 2, 1, 3)
    assert five.sum() == 4


@pytest.mark.parametrize(
    ("pads", "mode", "message"),
    [
        ([1, 1], "constant", "2 pads"),
        ([-1, 0, 0, 0], "edge", "do not fit"),
        ([2, 0, 0, 0], "reflect", "cannot be reflected"),
        ([1, 1, 1, 1], "wrap", "no padding mode 'wrap'"),
    ],
)
def test_pads_that_are_none(pads, mode, message):
    with pytest.raises(EspdlError, match=message):
        pad_array(np.zeros((2, 3)), pads, mode)


def test_padded_shape():
    assert padded_shape([2, 3], [1, 0, 2, 4]) == [5, 7]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_push(axis):
    queue, new = CUBE.copy(), -np.take(CUBE, [0], axis) - 1
    push_array(queue, new, axis)
    np.testing.assert_array_equal(queue, np.concatenate([np.delete(CUBE, 0, axis), new], axis))


def test_push_more_than_there_is():
    with pytest.raises(EspdlError, match="do not fit into 2"):
        push_array(CUBE.copy(), np.zeros((3, 3, 4), np.int16), 0)
    with pytest.raises(EspdlError, match="along axis 0"):
        push_array(CUBE.copy(), np.zeros((1, 3, 3), np.int16), 0)
    with pytest.raises(EspdlError, match="no axis 3"):
        push_array(CUBE.copy(), CUBE, 3)


def test_strides_and_shapes():
    assert strides_in_elements([2, 3, 4]) == [12, 4, 1]
    assert strides_in_elements([]) == []
    assert resolve_shape([2, -1], 24) == [2, 12]
    assert resolve_shape([], 1) == []
    for shape in ([5, -1], [-1, -1], [-2, 3], [2, 3], [0, -1]):
        with pytest.raises(EspdlError):
            resolve_shape(shape, 24)
