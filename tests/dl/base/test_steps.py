"""Every native step gives the bits of the NumPy one, on every instruction set of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from espdl.dl.base import Kernels, get_kernels, missing_native_notice
from espdl.dl.base.steps import BoundStep, Taps, WindowAxis
from espdl.rounding import Rounding

pytestmark = pytest.mark.skipif(bool(missing_native_notice()), reason="no native kernels here")

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DTYPES = st.sampled_from([np.dtype(np.int8), np.dtype(np.int16)])
ROUNDINGS = st.sampled_from(list(Rounding))
SEEDS = st.integers(0, 2**32 - 1)
Bind = Callable[[Kernels, NDArray], BoundStep]


def isas() -> list[str]:
    if missing_native_notice():
        return []
    from espdl.dl.base import _native

    return _native.isas()


@pytest.fixture(autouse=True, params=isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    from espdl.dl.base import _native

    _native.set_isa(request.param)
    yield request.param
    _native.set_isa(_native.ISA)


def values(seed: int, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Random values, a third of them at the ends of the range or around 0."""
    rng, limits = np.random.default_rng(seed), np.iinfo(dtype)
    plain = rng.integers(limits.min, limits.max + 1, shape)
    special = rng.choice(np.array([limits.min, limits.min + 1, -1, 0, 1, limits.max]), shape)
    return np.where(rng.random(shape) < 0.33, special, plain).astype(dtype)


def compare(bind: Bind, shape: tuple[int, ...], dtype: np.dtype, *, is_native: bool = True) -> NDArray:
    """Runs the step of both backends on outputs full of other values, twice; returns the result."""
    results = []
    for backend in ("numpy", "native"):
        out = np.full(shape, 77, dtype)
        step = bind(get_kernels(backend), out)
        if backend == "native":
            assert type(step.run).__name__ == ("Step" if is_native else "function")
        step()
        first = out.copy()
        step()
        np.testing.assert_array_equal(out, first)
        results.append(first)
    np.testing.assert_array_equal(results[1], results[0])
    return results[0]


@st.composite
def broadcast_pairs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    out = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    out[-1] = draw(st.sampled_from([1, 3, 16, 63, 64, 65, 200]))
    a = [d if draw(st.booleans()) else 1 for d in out]
    b = [d if a[i] == 1 or draw(st.booleans()) else 1 for i, d in enumerate(out)]
    return tuple(a), tuple(b)[draw(st.integers(0, 1)) if b[0] == 1 and len(b) > 1 else 0 :]


@SETTINGS
@given(broadcast_pairs(), DTYPES, SEEDS, st.booleans(), st.booleans())
def test_sums(shapes: tuple, dtype: np.dtype, seed: int, subtract: bool, with_table: bool) -> None:
    a, b = (values(seed + i, shape, dtype) for i, shape in enumerate(shapes))
    table = values(seed, (256,), np.dtype(np.int8)) if with_table and dtype == np.int8 else None
    compare(lambda k, out: k.sum_step(a, b, out, subtract=subtract, table=table), np.broadcast_shapes(*shapes), dtype)


@SETTINGS
@given(broadcast_pairs(), DTYPES, SEEDS, st.integers(-40, 40), ROUNDINGS, st.booleans())
def test_products(shapes: tuple, dtype: np.dtype, seed: int, shift: int, rounding: Rounding, in_float: bool) -> None:
    a, b = (values(seed + i, shape, dtype) for i, shape in enumerate(shapes))
    compare(
        lambda k, out: k.product_step(a, b, out, shift, rounding, in_float=in_float),
        np.broadcast_shapes(*shapes),
        dtype,
        is_native=in_float or shift <= 30,
    )


@SETTINGS
@given(broadcast_pairs(), DTYPES, SEEDS, st.integers(-40, 40), ROUNDINGS, st.booleans())
def test_quotients(shapes: tuple, dtype: np.dtype, seed: int, shift: int, rounding: Rounding, by_reciprocal: bool) -> None:
    a, b = (values(seed + i, shape, dtype) for i, shape in enumerate(shapes))
    b = np.where(b % 3 == 0, b // 64, b).astype(dtype)  # more small divisors, and zeros
    compare(
        lambda k, out: k.quotient_step(a, b, out, shift, rounding, by_reciprocal=by_reciprocal),
        np.broadcast_shapes(*shapes),
        dtype,
    )


@SETTINGS
@given(broadcast_pairs(), DTYPES, SEEDS, st.sampled_from(["equal", "greater", "greater_equal"]))
def test_comparisons(shapes: tuple, dtype: np.dtype, seed: int, relation: str) -> None:
    a, b = (values(seed + i, shape, dtype) >> 4 for i, shape in enumerate(shapes))
    compare(lambda k, out: k.compare_step(a, b, out, relation), np.broadcast_shapes(*shapes), np.dtype(bool))


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_outputs_across_their_inputs(dtype: type) -> None:
    """What lies on top of another operand of another size is made from a copy: every call gives the same as apart."""
    x = values(4, (6, 40), np.dtype(dtype))
    operations = [
        (np.int8, (6, 40), lambda k, a, out: k.requantize_step(a, out, 3, Rounding.HALF_EVEN)),
        (dtype, (40,), lambda k, a, out: k.mean_step(a, out, [0], -3, -5, Rounding.HALF_UP)),
        (bool, (6, 40), lambda k, a, out: k.compare_step(a, x[:1].copy(), out, "greater")),
        (dtype, (6, 40), lambda k, a, out: k.gather_step(a, out, [np.arange(6)[::-1], np.arange(40)])),
    ]
    for to, shape, make in operations:
        expected = np.empty(shape, to)
        make(get_kernels("numpy"), x, expected)()
        memory = x.copy()
        out = memory.reshape(-1).view(to)[: expected.size].reshape(shape)
        step = make(get_kernels("native"), memory, out)
        for _ in range(2):
            memory[...] = x
            step()
            np.testing.assert_array_equal(out, expected)


@SETTINGS
@given(st.integers(1, 300), DTYPES, DTYPES, SEEDS, st.integers(-62, 30), ROUNDINGS)
def test_requantize(size: int, source: np.dtype, target: np.dtype, seed: int, shift: int, rounding: Rounding) -> None:
    x = values(seed, (size,), source)
    compare(lambda k, out: k.requantize_step(x, out, shift, rounding), (size,), target)


@SETTINGS
@given(st.integers(1, 40), st.sampled_from([1, 3, 16, 65]), DTYPES, SEEDS, st.integers(-9, 9), st.integers(-9, 30), ROUNDINGS)
def test_prelu(rows: int, channels: int, dtype: np.dtype, seed: int, shift: int, slope_shift: int, rounding: Rounding) -> None:
    x, slope = values(seed, (1, rows, 2, channels), dtype), values(seed + 1, (channels,), dtype)
    compare(lambda k, out: k.prelu_step(x, slope, out, shift, slope_shift, rounding), x.shape, dtype)


@SETTINGS
@given(st.integers(1, 400), SEEDS)
def test_tables_of_8_bits(size: int, seed: int) -> None:
    x, table = values(seed, (size,), np.dtype(np.int8)), values(seed + 1, (256,), np.dtype(np.int8))
    result = compare(lambda k, out: k.lookup_step(table, x, out, Rounding.HALF_UP), (size,), np.dtype(np.int8))
    np.testing.assert_array_equal(result, table[x.astype(int) + 128])
    inplace = x.copy()
    get_kernels("native").lookup_step(table, inplace, inplace, Rounding.HALF_UP)()
    np.testing.assert_array_equal(inplace, result)


@SETTINGS
@given(st.integers(1, 400), SEEDS, st.integers(0, 15), ROUNDINGS)
def test_tables_of_16_bits(size: int, seed: int, step_bits: int, rounding: Rounding) -> None:
    x = values(seed, (size,), np.dtype(np.int16))
    table = values(seed + 1, (65536 // 2**step_bits + (step_bits > 0),), np.dtype(np.int16))
    compare(lambda k, out: k.lookup_step(table, x, out, rounding), (size,), np.dtype(np.int16))


def test_an_output_that_lies_on_an_operand() -> None:
    for backend in ("numpy", "native"):
        kernels = get_kernels(backend)
        a, b = values(1, (5, 70), np.dtype(np.int8)), values(2, (70,), np.dtype(np.int8))
        expected = np.clip(a.astype(int) + b, -128, 127)
        kernels.sum_step(a, b, a)()
        np.testing.assert_array_equal(a, expected)
        # the broadcast operand lies where the output goes: the whole sum is made first
        memory = values(3, (350,), np.dtype(np.int8))
        row = memory[:70]
        expected = np.clip(memory.reshape(5, 70).astype(int) + row, -128, 127)
        kernels.sum_step(memory.reshape(5, 70), row, memory.reshape(5, 70))()
        np.testing.assert_array_equal(memory.reshape(5, 70), expected)


MOVE_DTYPES = st.sampled_from([np.dtype(t) for t in (np.int8, np.int16, np.float32, np.float64, np.bool_)])


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], list[int], tuple[slice, ...]]:
    """Shape, permutation, slices."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 5, 17, 70]), min_size=1, max_size=4)))
    order = draw(st.permutations(range(len(shape))))
    slices = []
    for extent in shape:
        start, step = draw(st.integers(0, extent - 1)), draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        slices.append(slice(start, None, step))
    return shape, list(order), tuple(slices)


@SETTINGS
@given(views(), MOVE_DTYPES, SEEDS)
def test_moves_from_any_view_to_any_view(view: tuple, dtype: np.dtype, seed: int) -> None:
    shape, order, slices = view
    x = values(seed, shape, np.dtype(np.int16)).astype(dtype)
    source = x[slices].transpose(order)
    compare(lambda k, out: k.move_step([(out, source)]), source.shape, dtype)
    part = source[..., ::2]
    wide = (*part.shape[:-1], 3 * part.shape[-1])
    compare(lambda k, out: k.move_step([(out[::-1][..., ::3], part)]), wide, dtype)


@SETTINGS
@given(st.integers(1, 6), st.lists(st.integers(1, 40), min_size=1, max_size=4), MOVE_DTYPES, SEEDS, st.integers(0, 5))
def test_concat_and_border(rows: int, widths: list[int], dtype: np.dtype, seed: int, border: int) -> None:
    parts = [values(seed + i, (rows, width), np.dtype(np.int16)).astype(dtype) for i, width in enumerate(widths)]
    stops = np.cumsum(widths)
    fill = values(seed, (1,), np.dtype(np.int16)).astype(dtype)

    def bind(kernels: Kernels, out: NDArray) -> BoundStep:
        inside = out[border : border + rows, border:]
        return kernels.move_step(
            [(inside[:, stop - part.shape[1] : stop], part) for part, stop in zip(parts, stops, strict=True)], (out, fill)
        )

    compare(bind, (rows + 2 * border, border + sum(widths)), dtype)


def test_a_cache_moves_in_order() -> None:
    results = []
    for backend in ("numpy", "native"):
        cache, out, x = np.zeros((1, 3, 5), np.int8), np.zeros((1, 7, 5), np.int8), np.zeros((1, 4, 5), np.int8)
        step = get_kernels(backend).move_step([(out[:, :3], cache), (out[:, 3:], x), (cache, out[:, 4:])], in_order=True)
        for run in range(3):
            x[...] = values(run, x.shape, np.dtype(np.int8))
            step()
        results.append((cache.copy(), out.copy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@SETTINGS
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), MOVE_DTYPES, SEEDS, st.data())
def test_gathers(shape: list[int], dtype: np.dtype, seed: int, data: st.DataObject) -> None:
    index = []
    for extent in shape:
        whole = st.just(list(range(extent)))
        index.append(np.array(data.draw(whole | st.lists(st.integers(0, extent - 1), min_size=1, max_size=9)), dtype=np.intp))
    x = values(seed, tuple(shape), np.dtype(np.int16)).astype(dtype)
    compare(lambda k, out: k.gather_step(x, out, index), tuple(len(i) for i in index), dtype)


@st.composite
def windows(draw: st.DrawFn) -> tuple[list[int], list[WindowAxis]]:
    lengths, axes = [], []
    for _ in range(draw(st.integers(1, 2))):
        length, stride = draw(st.integers(1, 20)), draw(st.sampled_from([1, 1, 2, 3, 4]))
        kernel = draw(st.integers(1, 6) | st.integers(7, 14))
        before, behind = draw(st.integers(0, 7)), draw(st.integers(0, 7))
        behind += max(kernel - length - before - behind, 0)
        lengths.append(length)
        axes.append(WindowAxis(kernel, stride, before, behind))
    return lengths, axes


@SETTINGS
@given(windows(), st.sampled_from([1, 5, 16, 67]), DTYPES, SEEDS, st.integers(-8, 8), ROUNDINGS)
def test_pooling(window: tuple, channels: int, dtype: np.dtype, seed: int, shift: int, rounding: Rounding) -> None:
    lengths, axes = window
    x = values(seed, (1, *lengths, channels), dtype)
    shape = (1, *(axis.outputs(length) for axis, length in zip(axes, lengths, strict=True)), channels)
    share = np.float32(1 / np.prod([axis.kernel for axis in axes]))
    compare(lambda k, out: k.max_pool_step(x, out, axes), shape, dtype)
    compare(lambda k, out: k.average_pool_step(x, out, axes, share, shift, rounding), shape, dtype)


@SETTINGS
@given(
    st.lists(st.sampled_from([1, 2, 7, 33]), min_size=1, max_size=4),
    DTYPES,
    SEEDS,
    st.integers(-20, 20),
    st.integers(-20, 20),
    ROUNDINGS,
    st.data(),
)
def test_means(
    shape: list[int], dtype: np.dtype, seed: int, exponent: int, to: int, rounding: Rounding, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(shape) - 1))
    axes = list(range(first, data.draw(st.integers(first + 1, len(shape)))))
    x = values(seed, tuple(shape), dtype)
    kept = tuple(extent for axis, extent in enumerate(shape) if axis not in axes) or (1,)
    compare(lambda k, out: k.mean_step(x, out, axes, exponent, to, rounding), kept, dtype)


@SETTINGS
@given(st.lists(st.integers(1, 9), min_size=1, max_size=2), st.sampled_from([1, 5, 16, 67]), SEEDS, st.integers(-3, 3), ROUNDINGS)
def test_interpolation(lengths: list[int], channels: int, seed: int, shift: int, rounding: Rounding) -> None:
    rng = np.random.default_rng(seed)
    x = values(seed, (1, *lengths, channels), np.dtype(np.int8))
    taps = []
    for length in lengths:
        target = int(rng.integers(1, 20))
        low, high = (rng.integers(0, length, target) for _ in range(2))
        taps.append(Taps(low, high, rng.choice(np.array([0, 0.25, 0.5, 1, rng.random()], np.float32), target)))
    shape = (1, *(at.low.size for at in taps), channels)
    compare(lambda k, out: k.interpolate_step(x, out, taps, shift, rounding), shape, np.dtype(np.int8))


@SETTINGS
@given(st.integers(1, 2200), DTYPES, SEEDS, st.integers(-20, 20), ROUNDINGS)
def test_quantize_and_dequantize(size: int, dtype: np.dtype, seed: int, exponent: int, rounding: Rounding) -> None:
    x = np.random.default_rng(seed).choice(np.array([0, 0.5, -0.5, 1.5, 2.5, 100, -127.5], np.float32), size) * np.float32(
        2.0**exponent
    )
    x[:: max(size // 7, 1)] = np.array([np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 0.49999997], np.float32)[
        np.arange(len(x[:: max(size // 7, 1)])) % 7
    ]
    with np.errstate(all="ignore"):
        result = compare(lambda k, out: k.quantize_step(x, out, exponent, rounding), (size,), dtype)
    memory = x.copy()
    get_kernels("native").quantize_step(memory, memory.view(dtype)[:size], exponent, rounding)()
    np.testing.assert_array_equal(memory.view(dtype)[:size], result)
    compare(lambda k, out: k.dequantize_step(result, out, exponent), (size,), np.dtype(np.float32))


@SETTINGS
@given(st.integers(1, 9), st.sampled_from([1, 5, 16, 100]), SEEDS, st.integers(-9, 1))
def test_softmax(rows: int, columns: int, seed: int, exponent: int) -> None:
    x = values(seed, (2, rows, columns), np.dtype(np.int8))
    with np.errstate(all="ignore"):
        table = np.exp(np.arange(256).astype(np.uint8).view(np.int8) * 2.0**exponent).astype(np.float32)
        compare(lambda k, out: k.softmax_step(table, x, out), x.shape, np.dtype(np.float32))


@pytest.mark.parametrize("threads", [1, 3])
def test_large_tensors_are_split_over_threads(threads: int) -> None:
    from espdl.dl.base import _native

    before = _native.threads()
    _native.set_threads(threads)
    try:
        int8 = np.dtype(np.int8)
        x, y = values(1, (1, 128, 128, 64), int8), values(2, (1, 128, 128, 64), int8)
        table = values(3, (256,), int8)
        compare(lambda k, out: k.sum_step(x, y, out, table=table), x.shape, int8)
        compare(lambda k, out: k.lookup_step(table, x, out, Rounding.HALF_UP), x.shape, int8)
        compare(lambda k, out: k.move_step([(out, x.transpose(0, 3, 1, 2))]), (1, 64, 128, 128), int8)
        compare(lambda k, out: k.move_step([(out[..., :64], x), (out[..., 64:], y)]), (1, 128, 128, 128), int8)
        compare(lambda k, out: k.max_pool_step(x, out, [WindowAxis(5, 1, 2, 2)] * 2), x.shape, int8)
        twice = [np.arange(1), np.arange(128) // 2, np.arange(128) // 2, np.arange(64)]
        compare(lambda k, out: k.gather_step(x, out, twice), x.shape, int8)
    finally:
        _native.set_threads(before)
