"""Operators that move values without computing (runtime spec 3.13)."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.dl.module import Module
from espdl.errors import EspdlError
from tests.dl.module.harness import machine, make, run, tensor

DTYPES = [np.int8, np.int16, np.float32]


def ramp(*shape: int, dtype: Any = np.int8) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)


def ints(*values: int) -> Any:
    return tensor(np.array(values, np.int64))


def sliced(starts: list[int], ends: list[int], axes: list[int] | None = None, steps: list[int] | None = None) -> Module:
    lists = {1: starts, 2: ends, 3: axes, 4: steps}
    return make("Slice", {i: ints(*values) for i, values in lists.items() if values is not None})


BIG = 2**63 - 1
X = ramp(2, 3, 4)
CASES: list[tuple[str, Module, np.ndarray]] = [
    ("transpose", make("Transpose", perm=[2, 0, 1]), X.transpose(2, 0, 1)),
    ("transpose reverses", make("Transpose"), X.transpose()),
    ("transpose from the end", make("Transpose", perm=[0, -1, -2]), X.transpose(0, 2, 1)),
    ("reshape", make("Reshape", {1: ints(4, 6)}), X.reshape(4, 6)),
    ("reshape infers", make("Reshape", {1: ints(-1, 8)}), X.reshape(3, 8)),
    ("reshape copies", make("Reshape", {1: ints(0, -1)}), X.reshape(2, 12)),
    ("flatten", make("Flatten"), X.reshape(2, 12)),
    ("flatten at 0", make("Flatten", axis=0), X.reshape(1, 24)),
    ("flatten from the end", make("Flatten", axis=-1), X.reshape(6, 4)),
    ("flatten behind the end", make("Flatten", axis=3), X.reshape(24, 1)),
    ("unsqueeze", make("Unsqueeze", {1: ints(3, 0)}), X.reshape(1, 2, 3, 1, 4)),
    ("unsqueeze from the end", make("Unsqueeze", {1: ints(-1)}), X.reshape(2, 3, 4, 1)),
    ("identity", make("Identity"), X),
    ("slice", sliced([1], [3], [1]), X[:, 1:3]),
    ("slice axes from the front", sliced([0, 1], [2, 3]), X[0:2, 1:3]),
    ("slice clips", sliced([1, -100], [BIG, 100], [0, 2]), X[1:]),
    ("slice from the end", sliced([-2], [-1], [-1]), X[..., -2:-1]),
    ("slice strides", sliced([0], [4], [2], [3]), X[..., ::3]),
    ("slice backwards", sliced([-1], [-BIG], [2], [-1]), X[..., ::-1]),
    ("slice backwards by two", sliced([3, 2], [0, -100], [2, 1], [-2, -1]), X[:, ::-1, 3:0:-2]),
    ("gather", make("Gather", {1: ints(2, 0, 2)}, axis=1), X[:, [2, 0, 2]]),
    ("gather one", make("Gather", {1: tensor(np.array(1, np.int64))}, axis=0), X[1]),
    ("gather a matrix", make("Gather", {1: tensor(np.array([[0, 1], [3, 2]], np.int32))}, axis=-1), X[..., [[0, 1], [3, 2]]]),
    ("pad", make("Pad", {1: ints(0, 1, 2, 1, 0, 0)}), np.pad(X, [(0, 1), (1, 0), (2, 0)])),
    ("pad with edges", make("Pad", {1: ints(1, 0, 2, 0, 1, 0)}, mode="edge"), np.pad(X, [(1, 0), (0, 1), (2, 0)], mode="edge")),
    (
        "pad with reflections",
        make("Pad", {1: ints(1, 2, 0, 0, 1, 3)}, mode="reflect"),
        np.pad(X, [(1, 0), (2, 1), (0, 3)], mode="reflect"),
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("module", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_values(module: Module, expected: np.ndarray, dtype: Any) -> None:
    x = X.astype(dtype)
    result = run(module, tensor(x, -3), exponent=-3)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)
    constants = [module.parameters[i].data for i in sorted(module.parameters)]
    np.testing.assert_array_equal(module.float_forward(x.astype(np.float32), *constants), expected)


@pytest.mark.parametrize("op_type", ["Reshape", "Flatten", "Identity"])
def test_a_view_on_its_own_memory_copies_nothing(op_type: str) -> None:
    module = make(op_type, {1: ints(4, 6)} if op_type == "Reshape" else {})
    assert run(module, tensor(X), in_place=True).ravel().tolist() == X.ravel().tolist()
    rescaled = run(module, tensor(X, -3), exponent=-2, in_place=True, on=machine("esp32p4")).ravel()
    assert rescaled.tolist() == [round(v / 2) for v in X.ravel().tolist()]


def test_squeeze() -> None:
    x = ramp(1, 3, 1, 2)
    assert run(make("Squeeze"), tensor(x)).shape == (3, 2)
    assert run(make("Squeeze", {1: ints(-2)}), tensor(x)).shape == (1, 3, 2)
    with pytest.raises(EspdlError, match="do not all have one element"):
        run(make("Squeeze", {1: ints(1)}), tensor(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_concat_copies_raw_values(dtype: Any) -> None:
    a, b = ramp(2, 1, 3, dtype=dtype), ramp(2, 4, 3, dtype=dtype)
    result = run(make("Concat", {2: tensor(a, 9)}, axis=1), tensor(a, 1), tensor(b, 2), exponent=3)
    np.testing.assert_array_equal(result, np.concatenate((a, b, a), axis=1))
    with pytest.raises(EspdlError, match="differ outside axis"):
        make("Concat", axis=0).get_output_shape([[2, 3], [2, 4]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_split(dtype: Any) -> None:
    x = ramp(2, 5, dtype=dtype)
    parts = run(make("Split", {1: ints(1, 3, 1)}, axis=-1), tensor(x), outputs=3)
    for part, expected in zip(parts, np.split(x, [1, 4], axis=1), strict=True):
        np.testing.assert_array_equal(part, expected)
    for part, expected in zip(make("Split", {1: ints(1, 3, 1)}, axis=1).float_forward(x), parts, strict=True):
        np.testing.assert_array_equal(part, expected)
    with pytest.raises(EspdlError, match="do not make up an axis of 5"):
        run(make("Split", {1: ints(1, 3)}, axis=1), tensor(x), outputs=2)


def test_split_without_lengths_takes_the_number_of_parts_for_their_length() -> None:
    two = run(make("Split", num_outputs=2, axis=1), tensor(ramp(1, 4)), outputs=2)
    assert [part.tolist() for part in two] == [[[0, 1]], [[2, 3]]]
    three = run(make("Split", num_outputs=2, axis=1), tensor(ramp(1, 6)), outputs=3)
    assert [part.tolist() for part in three] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    with pytest.raises(EspdlError, match="num_outputs is 2, and the chip takes it for their length"):
        run(make("Split", num_outputs=2, axis=1), tensor(ramp(1, 5)), outputs=2)
    with pytest.raises(EspdlError, match="there is no num_outputs either"):
        run(make("Split", axis=1), tensor(ramp(1, 5)), outputs=2)


@pytest.mark.parametrize(("dtype", "value"), [(np.int8, -7), (np.int16, 300), (np.float32, 0.5)])
def test_pad_with_a_raw_constant(dtype: Any, value: float) -> None:
    x, fill = ramp(2, 2, dtype=dtype), np.array(value, dtype)
    result = run(make("Pad", {1: ints(1, 0, 0, 2), 2: tensor(fill, 5)}), tensor(x, -3), exponent=-3)
    np.testing.assert_array_equal(result, np.pad(x, [(1, 0), (0, 2)], constant_values=value))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3))
def test_depth_to_space_and_back(height: int, width: int, channels: int, block: int) -> None:
    x = ramp(1, height, width, channels * block**2, dtype=np.int16)
    y = run(make("DepthToSpace", blocksize=block, mode="CRD"), tensor(x))
    assert y.shape == (1, height * block, width * block, channels)
    for h, w, c, i, j in product(range(height), range(width), range(channels), range(block), range(block)):
        assert y[0, h * block + i, w * block + j, c] == x[0, h, w, c * block**2 + i * block + j]
    np.testing.assert_array_equal(run(make("SpaceToDepth", blocksize=block), tensor(y)), x)


def test_depth_to_space_dcr() -> None:
    x = ramp(1, 2, 3, 8)
    y = run(make("DepthToSpace", blocksize=2, mode="DCR"), tensor(x))
    for h, w, c, i, j in product(range(2), range(3), range(2), range(2), range(2)):
        assert y[0, 2 * h + i, 2 * w + j, c] == x[0, h, w, (i * 2 + j) * 2 + c]
    with pytest.raises(EspdlError, match="mode DCR with 1 output channels"):
        run(make("DepthToSpace", blocksize=2), tensor(ramp(1, 2, 3, 4)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "stride", "padding"), [((1, 3, 2), [2], [1]), ((1, 2, 3, 2), [2, 3], [0, 2]), ((1, 1, 1, 1), [4, 1], [0, 0])]
)
def test_insert_zeros(shape: tuple[int, ...], stride: list[int], padding: list[int], dtype: Any) -> None:
    x = ramp(*shape, dtype=dtype) + 1
    expected = np.zeros(
        (1, *(d + (s - 1) * (d - 1) + p for d, s, p in zip(shape[1:-1], stride, padding, strict=True)), shape[-1])
    )
    for place in np.ndindex(*shape):
        expected[(0, *(p * s for p, s in zip(place[1:-1], stride, strict=True)), place[-1])] = x[place]
    module = make("InsertZeros", stride=stride, output_padding=padding)
    np.testing.assert_array_equal(run(module, tensor(x, -3), exponent=4), expected)
    np.testing.assert_array_equal(module.float_forward(x), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_streaming_cache_remembers_and_forgets(frames: int, dtype: Any) -> None:
    module, on = make("StreamingCache", window_size=4, frame_axis=1), machine()
    x, y = tensor(np.zeros((1, frames, 2), dtype)), tensor(np.zeros((1, frames + 3, 2), dtype))
    assert module.get_output_shape([x.shape]) == [y.shape]
    stream = [[0, 0]] * 3
    for chunk in range(4):
        x.data[...] = ramp(1, frames, 2, dtype=dtype) + dtype(chunk * 10 + 1)
        stream += x.data[0].tolist()
        module.run(x, y, machine=on)
        assert y.data[0].tolist() == stream[-frames - 3 :]
    module.reset()
    module.run(x, y, machine=on)
    assert y.data[0].tolist() == [[0, 0]] * 3 + x.data[0].tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("batch_axis", [0, 1])
def test_reverse_sequence(batch_axis: int, dtype: Any) -> None:
    x = ramp(3, 3, 2, dtype=dtype)
    lengths = [3, 1, 2]
    expected = x.copy()
    for b, length in enumerate(lengths):
        rows = expected[b] if batch_axis == 0 else expected[:, b]
        rows[:length] = rows[:length][::-1].copy()
    module = make("ReverseSequence", {1: ints(*lengths)}, batch_axis=batch_axis, time_axis=1 - batch_axis)
    np.testing.assert_array_equal(run(module, tensor(x)), expected)


def scatter_oracle(data: np.ndarray, indices: np.ndarray, updates: np.ndarray, reduction: str) -> np.ndarray:
    result = data.astype(object)
    limits = np.iinfo(data.dtype)
    for place in np.ndindex(*indices.shape[:-1]):
        target = tuple(indices[place].tolist())
        for rest in np.ndindex(*data.shape[indices.shape[-1] :]):
            old, new = int(result[target + rest]), int(updates[place + rest])
            value = {"none": new, "add": old + new, "mul": old * new, "max": max(old, new), "min": min(old, new)}[reduction]
            result[target + rest] = min(max(value, limits.min), limits.max)
    return result.astype(data.dtype)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@given(
    st.sampled_from([np.int8, np.int16]),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=5),
    st.data(),
)
def test_scatter_nd(reduction: str, dtype: Any, places: list[tuple[int, int]], data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 2))
    indices = np.array(places, np.int64)[:, :depth]
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    limits = np.iinfo(dtype)
    x = generator.integers(limits.min, limits.max + 1, (3, 2, 2)).astype(dtype)
    updates = generator.integers(limits.min, limits.max + 1, (len(places), *x.shape[depth:])).astype(dtype)
    module = make("ScatterND", {1: tensor(indices)}, reduction=reduction)
    expected = scatter_oracle(x, indices, updates, reduction)
    np.testing.assert_array_equal(run(module, tensor(x), None, tensor(updates)), expected)


@pytest.mark.parametrize(
    ("make_module", "words"),
    [
        (lambda: make("Reshape"), "the shape is not a constant"),
        (lambda: make("Reshape", {1: ints(-1, -1)}), "no shape"),
        (lambda: make("Reshape", {1: ints(5, -1)}), "cannot take the shape"),
        (lambda: make("Reshape", {1: ints(1, 1, 1, 0)}), "copies a dimension"),
        (lambda: make("Reshape", {1: ints(4, 5)}), "cannot take the shape"),
        (lambda: make("Reshape", {1: tensor(np.float32([24]))}), "holds no integers"),
        (lambda: make("Flatten", axis=4), "axis 4"),
        (lambda: make("Unsqueeze"), "missing"),
        (lambda: make("Unsqueeze", {1: ints(0, 0)}), "named twice"),
        (lambda: make("Transpose", perm=[0, 1]), "does not fit"),
        (lambda: make("Transpose", perm=[0, 1, 1]), "named twice"),
        (lambda: make("Transpose", perm=[0, 1, 3]), "axis 3"),
        (lambda: sliced([0], [1], [0], [0]), "step 0 on axis 0"),
        (lambda: sliced([0], [1, 2]), "differ in length"),
        (lambda: sliced([2], [1], [1]), "leaves nothing of axis 1"),
        (lambda: make("Slice"), "must be constants"),
        (lambda: make("Split", {1: ints(-1, 3)}), "negative lengths"),
        (lambda: make("Pad", {1: ints(0, 0, -1, 0, 0, 0)}), "pads are not negative"),
        (lambda: make("Pad", {1: ints(0, 0)}), "2 pads for a tensor of rank 3"),
        (lambda: make("Pad", {1: ints(*[0] * 6)}, mode="wrap"), "mode 'wrap'"),
        (lambda: make("Pad", {1: ints(2, 0, 0, 0, 0, 0)}, mode="reflect"), "cannot be reflected by 2"),
        (lambda: make("DepthToSpace"), "blocksize 0"),
        (lambda: make("SpaceToDepth", blocksize=2), "blocks of 2 x 2"),
        (lambda: make("InsertZeros", stride=[0]), "strides start at 1"),
        (lambda: make("InsertZeros"), "one entry per spatial axis"),
        (lambda: make("StreamingCache", window_size=0), "at least 1"),
        (lambda: make("StreamingCache", window_size=2), "the axes before it must have one element"),
        (lambda: make("ReverseSequence", {1: ints(1)}, batch_axis=2, time_axis=0), "must be 0 and 1"),
        (lambda: make("ReverseSequence", {1: ints(1)}), "1 lengths"),
        (lambda: make("ScatterND", reduction="sum"), "reduction 'sum'"),
    ],
)
def test_refusals(make_module: Any, words: str) -> None:
    with pytest.raises(EspdlError, match=words):
        make_module().get_output_shape([[2, 3, 4], [1]])


def test_gather_outside_its_axis() -> None:
    for index in (-1, 2):
        with pytest.raises(EspdlError, match="an index outside an axis of 2"):
            run(make("Gather", {1: ints(index)}), tensor(X))
    with pytest.raises(EspdlError, match="an index outside shape"):
        run(make("ScatterND", {1: tensor(np.array([[2]], np.int64))}), tensor(X), None, tensor(ramp(1, 3, 4)))
