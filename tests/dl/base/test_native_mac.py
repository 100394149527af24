"""The C++ multiply-accumulate kernels against the NumPy ones: every instruction set and thread count, shapes that fill whole panels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from espdl.chips import Accumulator, Overflow
from espdl.dl.base import LaneRule, MacFilter, Window, get_kernels, missing_native_notice
from espdl.rounding import Rounding
from tests.dl.base.compare import assert_same, outcome
from tests.dl.base.draws import INT8, INT16, values

if notice := missing_native_notice():
    pytest.skip(notice, allow_module_level=True)

from espdl.dl.base import _native

KINDS = ("full", "ends", "small", "lowest")
CHANNELS = (1, 3, 4, 8, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 80, 96, 100, 129)


@st.composite
def drawn(draw: st.DrawFn) -> tuple[MacFilter, Window, np.ndarray]:
    """Operators with enough channels for several panels; lanes of widths that most sums stay within."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depthwise = draw(st.booleans())
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (1, 3), (2, 2), (5, 5), (5, 1)]))
    c = draw(st.sampled_from(CHANNELS))
    n = c if depthwise else draw(st.sampled_from(CHANNELS))
    stride, dilation = st.integers(1, 3), st.integers(1, 2)
    window = Window(
        strides=(draw(stride), draw(stride)),
        dilations=(draw(dilation), draw(dilation)),
        pads=tuple(draw(st.lists(st.integers(0, 3), min_size=4, max_size=4))),
    )
    height = max(window.dilations[0] * (kernel[0] - 1) + 1 - sum(window.pads[:2]), 1) + draw(st.integers(0, 12))
    width = max(window.dilations[1] * (kernel[1] - 1) + 1 - sum(window.pads[2:]), 1) + draw(st.integers(0, 12))
    input_dtype, weight_dtype = draw(st.sampled_from([(INT8, INT8), (INT16, INT16), (INT16, INT8), (INT8, INT16)]))
    shape = (*kernel, n) if depthwise else (*kernel, c, n)
    bias_bits = draw(st.sampled_from([None, 10, 19, 31, 39]))
    lanes: tuple[LaneRule, ...] = ()
    if draw(st.booleans()):
        accumulator = st.builds(
            Accumulator,
            bits=st.sampled_from([14, 17, 20, 24, 32, 40]),
            overflow=st.sampled_from([Overflow.SATURATE, Overflow.SATURATE, Overflow.WRAP]),
            every=st.sampled_from([1, 1, 16]),
        )
        split = draw(st.integers(0, n))
        lanes = (LaneRule(0, split, draw(accumulator)), LaneRule(split, n, draw(accumulator)))
    filter = MacFilter(
        weights=values(rng, shape, weight_dtype, draw(st.sampled_from(KINDS))),
        depthwise=depthwise,
        bias=None if bias_bits is None else rng.integers(-(2**bias_bits), 2**bias_bits, size=n),
        shift=rng.integers(draw(st.sampled_from([-3, 0])), draw(st.sampled_from([12, 34])), size=draw(st.sampled_from([1, n]))),
        rounding=draw(st.sampled_from(list(Rounding))),
        relu=draw(st.booleans()),
        input_dtype=input_dtype,
        output_dtype=draw(st.sampled_from([INT8, INT16])),
        lanes=lanes,
    )
    return filter, window, values(rng, (1, height, width, c), input_dtype, draw(st.sampled_from(KINDS)))


@given(case=drawn())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_instruction_set(isa: str, case: tuple[MacFilter, Window, np.ndarray]) -> None:
    assert_same(*case)


def a_filter(weights: np.ndarray, **changes: object) -> MacFilter:
    plain = MacFilter(weights, False, None, np.array([9]), Rounding.HALF_EVEN, False, INT8, INT8)
    return replace(plain, **changes)


LARGE = [
    ((1, 1, 96, 200), False, (1, 31, 33, 96), Window()),
    ((3, 3, 40, 72), False, (1, 30, 30, 40), Window(pads=(1, 1, 1, 1))),
    ((1, 1, 320, 640), False, (1, 7, 7, 320), Window()),
    ((3, 3, 144), True, (1, 60, 60, 144), Window(pads=(1, 1, 1, 1))),
    ((3, 3, 70), True, (1, 61, 60, 70), Window(strides=(2, 2), pads=(0, 1, 0, 1))),
]


@pytest.mark.parametrize(("shape", "depthwise", "image", "window"), LARGE)
@pytest.mark.parametrize("dtype", [INT8, INT16])
def test_work_that_is_split_over_threads(
    threads: int, shape: tuple[int, ...], depthwise: bool, image: tuple[int, ...], window: Window, dtype: np.dtype
) -> None:
    rng = np.random.default_rng(0)
    weights = values(rng, shape, dtype, "full")
    shift = np.array([10 if dtype == INT8 else 20])
    filter = a_filter(weights, depthwise=depthwise, shift=shift, input_dtype=dtype, output_dtype=dtype)
    assert_same(filter, window, values(rng, image, dtype, "full"))


def test_overflows_are_counted_alike_on_every_thread_count(threads: int) -> None:
    rng = np.random.default_rng(0)
    weights = np.abs(values(rng, (3, 3, 64, 64), INT8, "full"))
    lanes = (LaneRule(0, 48, Accumulator(20, Overflow.SATURATE)), LaneRule(48, 64, Accumulator(40, Overflow.SATURATE, every=16)))
    filter = a_filter(weights, lanes=lanes, bias=rng.integers(-500000, 500000, 64), shift=np.array([12]))
    assert_same(filter, Window(pads=(1, 1, 1, 1)), values(rng, (1, 20, 20, 64), INT8, "full"))


def test_a_step_changes_its_way_as_its_inputs_leave_the_lanes_more_or_less_often(isa: str) -> None:
    """Calm inputs, then some that leave the lanes nearly everywhere, then calm ones again."""
    rng = np.random.default_rng(7)
    lanes = (LaneRule(0, 70, Accumulator(20, Overflow.SATURATE)),)
    filter = a_filter(np.abs(values(rng, (3, 3, 40, 70), INT8, "full")), lanes=lanes, shift=np.array([11]))
    window = Window(pads=(1, 1, 1, 1))
    x, out = np.zeros((1, 14, 14, 40), np.int8), np.empty((1, 14, 14, 70), np.int8)
    kernel = get_kernels("native").conv2d(filter, window)
    step = kernel.step(x, out)
    counts = []
    for low, high in ((-3, 4), (20, 128), (20, 128), (-3, 4), (-3, 4), (-128, -20)):
        x[...] = rng.integers(low, high, x.shape)
        expected, overflows = outcome("numpy", filter, window, x)
        step()
        np.testing.assert_array_equal(out, expected)
        assert kernel.lane_overflows == overflows
        counts.append(overflows.count)
    assert counts[0] == counts[3] == 0
    assert counts[1] > out.size // 2


def test_pairs_of_lowest_words(isa: str) -> None:
    """Two products of -32768 * -32768 leave 32 bits by one."""
    weights = np.full((1, 1, 6, 20), -32768, np.int16)
    x = np.full((1, 3, 5, 6), -32768, np.int16)
    assert_same(a_filter(weights, input_dtype=INT16, output_dtype=INT16, shift=np.array([19])), Window(), x)


@pytest.mark.parametrize(
    ("taps", "shift", "rounding"), [(1500, 20, Rounding.HALF_EVEN), (1500, 23, Rounding.HALF_UP), (40, 8, Rounding.HALF_EVEN)]
)
def test_words_whose_low_bytes_are_added_up_apart(isa: str, taps: int, shift: int, rounding: Rounding) -> None:
    """More taps than one carry covers; sums that end in zeros tie often; biases beyond 32 bits."""
    rng = np.random.default_rng(taps)
    weights = np.clip(rng.normal(0, 5000, (1, 1, taps, 40)), -32768, 32767).astype(np.int16)
    weights[..., 1::3] = weights[..., 1::3] // 256 * 256
    bias = rng.integers(-(2**37), 2**37, 40) // 256 * 256
    x = values(rng, (1, 5, 9, taps), INT16, "full")
    x[:, 1] = x[:, 1] // 4096 * 4096
    x[:, 2] = -32768
    filter = a_filter(weights, bias=bias, input_dtype=INT16, output_dtype=INT16, shift=np.array([shift]), rounding=rounding)
    assert_same(filter, Window(), x)


@pytest.mark.parametrize("rounding", [Rounding.HALF_EVEN, Rounding.HALF_UP])
@pytest.mark.parametrize(
    ("taps", "levels"),
    [
        (1501, (127, -128, 128, -129, 255, 0)),
        (490, (32767, 32640, 32639, -32640, -32641, -32768)),
        (700, (0x3F7F, -0x3F80, 0x7F, 0x3F80, -0x80, 0x3FFF)),
    ],
)
def test_words_whose_high_bytes_tell_least(isa: str, taps: int, levels: tuple[int, ...], rounding: Rounding) -> None:
    """Weights farthest from multiples of 256 at the ends of the inputs, all of one sign or as the weights: what high bytes miss adds up."""
    rng = np.random.default_rng(taps)
    weights = np.empty((1, 1, taps, 40), np.int16)
    for n in range(40):
        weights[0, 0, :, n] = levels[n % 6] if n < 12 else rng.choice(levels, taps)
    x = np.empty((1, 2, 21, taps), np.int16)
    x[:, :, 0], x[:, :, 1], x[:, :, 2:] = -32768, 32767, rng.choice([-32768, 32767, -1, 255], (1, 2, 19, taps))
    for n in range(12, 27):
        signs = weights[0, 0, :, n] > 0 if n % 2 else (weights[0, 0, :, n] + 128) // 256 * 256 < weights[0, 0, :, n]
        x[:, 0, n - 10] = np.where(signs, -32768, 32767)
        x[:, 1, n - 10] = np.where(signs, 32767, -32768)
    for shift in (18, 24):
        filter = a_filter(weights, bias=rng.integers(-(2**32), 2**32, 40), input_dtype=INT16, output_dtype=INT16)
        assert_same(replace(filter, shift=np.array([shift]), rounding=rounding), Window(), x)


def test_a_step_with_a_table_equals_the_look_up_behind_it(isa: str) -> None:
    rng = np.random.default_rng(1)
    table = values(rng, (256,), INT8, "full")
    for shape, depthwise in (((3, 3, 20, 90), False), ((3, 3, 20), True), ((1, 1, 20, 5), False)):
        filter = a_filter(values(rng, shape, INT8, "full"), depthwise=depthwise)
        x = values(rng, (1, 9, 8, 20), INT8, "full")
        window = Window(pads=(1, 1, 1, 1)) if shape[0] == 3 else Window()
        kernel = get_kernels("native").conv2d(filter, window)
        out = np.empty((1, 9, 8, filter.channels), np.int8)
        kernel(x, out)
        expected = table[out.astype(np.int64) + 128]
        assert kernel.table_step is not None
        kernel.table_step(x, out, table)()
        np.testing.assert_array_equal(out, expected)


def test_a_bound_step_reads_its_arrays_again_at_every_call() -> None:
    rng = np.random.default_rng(2)
    filter = a_filter(values(rng, (1, 1, 12, 7), INT8, "full"))
    x, out = np.zeros((4, 12), np.int8), np.empty((4, 7), np.int8)
    kernels = get_kernels("native")
    step = kernels.linear(filter).step(x, out)
    step()
    assert not out.any()
    x[...] = values(rng, x.shape, INT8, "full")
    step()
    expected = np.empty_like(out)
    get_kernels("numpy").linear(filter)(x, expected)
    np.testing.assert_array_equal(out, expected)


def test_an_output_on_top_of_its_input() -> None:
    rng = np.random.default_rng(3)
    memory = values(rng, (1, 8, 8, 16), INT8, "full")
    filter = a_filter(values(rng, (3, 3, 16, 16), INT8, "full"))
    window = Window(pads=(1, 1, 1, 1))
    expected, _ = outcome("numpy", filter, window, memory.copy())
    step = get_kernels("native").conv2d(filter, window).step(memory, memory)
    step()
    np.testing.assert_array_equal(memory, expected)


def test_arrays_of_the_wrong_size_or_type_are_refused() -> None:
    kernel = get_kernels("native").conv2d(a_filter(np.ones((1, 1, 4, 4), np.int8)), Window())
    x, out = np.zeros((1, 2, 2, 4), np.int8), np.zeros((1, 2, 2, 4), np.int8)
    for wrong_x, wrong_out in ((x.astype(np.int16), out), (x, out[:, :1]), (x, out.astype(np.int16))):
        with pytest.raises(ValueError, match=r"type|size"):
            kernel.step(wrong_x, wrong_out)


def test_an_unknown_instruction_set_or_no_thread_is_refused() -> None:
    with pytest.raises(RuntimeError, match="is not an instruction set of this machine"):
        _native.set_isa("mmx")
    with pytest.raises(ValueError, match="at least one thread"):
        _native.set_threads(0)
