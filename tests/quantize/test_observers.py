"""Calibration algorithms: what they choose, in one pass, whatever the batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from espdl.quantize.observers import OBSERVERS, View, create_observer
from espdl.quantize.observers.exponents import exponent_for_range, nearest_exponent
from espdl.quantize.observers.histogram import Histogram
from espdl.quantize.observers.kl import divergence
from espdl.quantize.observers.mse import least_error_exponent

NORMAL = np.random.default_rng(0).standard_normal(20000).astype(np.float32)


def chosen(name: str, *batches: np.ndarray, bits: int = 8, axis: int | None = None) -> tuple[int, ...]:
    observer = create_observer(name, bits, axis)
    for batch in batches:
        observer.observe(batch)
    return observer.exponents()


@pytest.mark.parametrize(
    ("magnitude", "bits", "exponent"),
    [(127.5, 8, 0), (127.6, 8, 1), (1.0, 8, -6), (0.99, 8, -7), (1.0, 16, -14), (1e-12, 8, -26), (0.0, 8, -7), (0.0, 16, -15)],
)
def test_the_exponent_of_a_range_is_rounded_up(magnitude: float, bits: int, exponent: int) -> None:
    assert exponent_for_range(magnitude, bits) == exponent


@pytest.mark.parametrize(("step", "exponent"), [(1.0, 0), (1.41, 0), (1.42, 1), (2**0.5, 1), (0.7, -1), (0.72, 0)])
def test_the_nearest_exponent_rounds_the_logarithm(step: float, exponent: int) -> None:
    assert nearest_exponent(step) == exponent


def test_minmax_takes_the_largest_magnitude_of_all_batches() -> None:
    assert chosen("minmax", np.array([1.0, -3.0]), np.array([2.0])) == (exponent_for_range(3.0, 8),)


def test_minmax_per_channel() -> None:
    weights = np.array([[1.0, -0.1], [0.0, 0.0], [100.0, 2.0]])
    assert chosen("minmax", weights, axis=0) == tuple(exponent_for_range(m, 8) for m in (1.0, 0.0, 100.0))
    assert chosen("minmax", weights, axis=1) == tuple(exponent_for_range(m, 8) for m in (100.0, 2.0))


def test_percentile_leaves_out_a_lone_outlier_and_averages_batches() -> None:
    batch = np.concatenate([np.linspace(-1, 1, 20000), [1000.0]])
    assert chosen("percentile", batch) == (exponent_for_range(1.0, 8),)
    assert chosen("percentile", np.full(10, 1.0), np.full(10, 3.0)) == (exponent_for_range(2.0, 8),)


@pytest.mark.parametrize("shape", ["normal", "few large", "equal", "ascending"])
@pytest.mark.parametrize("size", [1, 2, 9_999, 10_000, 60_000])
def test_the_percentiles_of_many_values_are_those_of_all_in_order(shape: str, size: int) -> None:
    rng = np.random.default_rng(size)
    values = {
        "normal": lambda: rng.standard_normal(size),
        "few large": lambda: np.where(rng.random(size) < 3e-4, 50 * rng.standard_normal(size), 1e-3),
        "equal": lambda: np.full(size, 0.7),
        "ascending": lambda: np.linspace(-3, 90, size),
    }[shape]().astype(np.float32)
    ordered = np.sort(values)
    upper, lower = (float(ordered[min(int(size * share), size - 1)]) for share in (0.9999, 1 - 0.9999))
    assert chosen("percentile", values) == (exponent_for_range(max(upper, -lower, 0.0), 8),)


def test_only_some_algorithms_are_per_channel() -> None:
    with pytest.raises(EspdlError, match="one exponent per channel"):
        create_observer("kl", 8, axis=0)
    with pytest.raises(EspdlError, match="minmax"):
        create_observer("percentile", 8, axis=1)


def test_names_do_not_depend_on_case_and_unknown_ones_are_listed() -> None:
    assert type(create_observer("MinMax", 8)) is OBSERVERS["minmax"]
    with pytest.raises(EspdlError, match="minmax"):
        create_observer("entropy", 8)


@pytest.mark.parametrize("name", list(OBSERVERS))
def test_zeros_get_the_exponent_of_one(name: str) -> None:
    assert chosen(name, np.zeros((4, 5), np.float32)) == (-7,)


@pytest.mark.parametrize(("name", "bits"), [("minmax", 8), ("minmax", 16), ("kl", 8), ("mse", 8), ("mse", 16)])
def test_scaling_by_a_power_of_two_shifts_the_exponent(name: str, bits: int) -> None:
    once = chosen(name, NORMAL, bits=bits)[0]
    assert chosen(name, NORMAL * 2.0**-5, bits=bits)[0] == once - 5


@pytest.mark.parametrize("name", ["minmax", "kl", "mse"])
def test_the_order_of_batches_does_not_matter(name: str) -> None:
    small, large = NORMAL[:5000] / 64, NORMAL[5000:]
    assert chosen(name, small, large) == chosen(name, large, small) == chosen(name, np.concatenate([small, large]))


def test_kl_is_what_its_definition_gives() -> None:
    """The textbook computation on an exact histogram over the final range."""
    maximum, levels, bins = float(np.abs(NORMAL).max()), 128, 4096
    counts = np.histogram(np.abs(NORMAL), bins, (0.0, maximum))[0].astype(np.float64)
    counts[:8], counts[8] = 0, 1
    losses = []
    for end in range(levels, bins + 1, levels):
        p = counts[:end].copy()
        p[-1] += counts[end:].sum()
        q = np.zeros(end)
        for level, row in enumerate(counts[:end].reshape(levels, -1)):
            if (row > 0).any():
                q[level * len(row) : (level + 1) * len(row)] = np.where(row > 0, row.sum() / (row > 0).sum(), 0)
        p, q = p / counts.sum(), q / q.sum()
        losses.append(float(np.sum(p * (np.log10(p + 1e-30) - np.log10(q + 1e-30)))))
    for end, loss in zip(range(levels, bins + 1, levels), losses, strict=True):
        assert divergence(counts, end, levels) == pytest.approx(loss)
    threshold = (int(np.argmin(losses)) + 1) * levels * maximum / bins
    assert chosen("kl", NORMAL) == (math.floor(math.log2(threshold / levels) + 0.5),)


def test_kl_does_not_cut_a_bounded_output_in_half() -> None:
    """Values crowded at 1: the divergence alone would clip there; the squared error forbids it."""
    values = np.concatenate([np.random.default_rng(1).uniform(0.49, 0.51, 5000), np.full(300, 0.99)]).astype(np.float32)
    (exponent,) = chosen("kl", values)
    assert 127 * 2.0**exponent > 0.9


def test_mse_weighs_an_outlier_against_the_rest() -> None:
    crowd = np.random.default_rng(0).uniform(-1, 1, 50000).astype(np.float32)
    assert chosen("mse", np.append(crowd, np.float32(1.5))) == (-7,)
    assert chosen("mse", crowd[:2000], np.full(2000, 1.5, np.float32)) == (-6,)


def test_mse_at_16_bits_uses_the_whole_range() -> None:
    (exponent,) = chosen("mse", NORMAL, bits=16)
    assert exponent in (-13, -12)


def squared_error(values: np.ndarray, exponent: int, bits: int) -> float:
    """Of quantizing to ``bits``, computed from the values themselves."""
    step, limit = 2.0**exponent, 2.0 ** (bits - 1)
    exact = values.astype(np.float64)
    return float(np.sum((np.clip(np.rint(exact / step), -limit, limit - 1) * step - exact) ** 2))


def test_mse_chooses_the_least_error() -> None:
    (best,) = chosen("mse", NORMAL)
    assert min(range(best - 3, best + 4), key=lambda exponent: squared_error(NORMAL, exponent, 8)) == best


# The histogram


@given(st.lists(st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=30), min_size=1, max_size=6))
def test_a_histogram_does_not_depend_on_how_values_are_batched(batches: list[list[float]]) -> None:
    running, at_once = Histogram(256), Histogram(256)
    for batch in batches:
        running.add(np.array(batch, np.float32))
    everything = np.array([value for batch in batches for value in batch], np.float32)
    at_once.add(everything)
    assert running.total == everything.size
    assert running.maximum == np.abs(everything).max()
    assert running.bin_width == at_once.bin_width
    assert np.array_equal(running.counts, at_once.counts)


def test_a_histogram_over_another_range_keeps_all_that_lies_in_it() -> None:
    histogram = Histogram()
    histogram.add(NORMAL)
    whole = histogram.over_range(histogram.maximum, 100)
    assert whole.sum() == NORMAL.size
    part = histogram.over_range(1.0, 50)
    assert part.sum() == pytest.approx(np.count_nonzero(np.abs(NORMAL) <= 1), abs=20)
    exact = np.histogram(np.abs(NORMAL), 100, (0, histogram.maximum))[0]
    assert np.abs(np.cumsum(whole) - np.cumsum(exact)).max() < 20


@pytest.mark.parametrize("exponent", [-10, -7, -5, -4])
def test_the_error_told_by_a_histogram_is_the_real_one(exponent: int) -> None:
    histogram = Histogram()
    histogram.add(NORMAL)
    assert histogram.squared_error(exponent, 8) == pytest.approx(squared_error(NORMAL, exponent, 8), rel=0.05)


def test_zeros_before_the_first_number_are_counted() -> None:
    histogram = Histogram(16)
    histogram.add(np.zeros(5, np.float32))
    histogram.add(np.array([3.0], np.float32))
    assert histogram.counts[0] == 5
    assert histogram.total == 6
    assert least_error_exponent(histogram, 8) == exponent_for_range(3.0, 8)


class TestIsotone:
    def test_the_winner_stays_the_winner(self) -> None:
        """Scores close together: minmax would make them equal."""
        rows = np.array([[0.50, 0.49, -3.0], [0.30, 0.29, -3.0]], np.float32)
        (exponent,) = chosen("isotone", rows)
        integers = np.clip(np.floor(np.ldexp(rows, -exponent) + 0.5), -128, 127)
        assert (integers[:, 0] > integers[:, 1]).all()
        assert exponent < exponent_for_range(3.0, 8)

    def test_where_it_makes_no_difference_it_is_minmax(self) -> None:
        rows = np.eye(5, dtype=np.float32) * 2
        assert chosen("isotone", rows) == chosen("minmax", rows)

    def test_the_majority_decides_over_batches(self) -> None:
        close = np.array([[0.50, 0.49]], np.float32)
        far = np.array([[900.0, 800.0]], np.float32)
        few, many = chosen("isotone", close, far, far), chosen("isotone", close, close, far)
        assert few == chosen("minmax", far)
        assert many[0] < few[0]

    def test_classes_of_images_lie_on_axis_1(self) -> None:
        rows = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
        image = np.ascontiguousarray(rows.reshape(1, 3, 4, 5).transpose(0, 3, 1, 2))
        assert chosen("isotone", image) == chosen("isotone", rows)

    @pytest.mark.parametrize("values", [np.zeros((2, 4)), np.ones((3, 1)), np.full((2, 3), 7.0), np.zeros((0, 3))])
    def test_without_a_winner_it_is_minmax(self, values: np.ndarray) -> None:
        assert chosen("isotone", values.astype(np.float32)) == chosen("minmax", values.astype(np.float32))

    def test_negative_scores(self) -> None:
        rows = np.array([[-5.0, -5.1, -100.0]], np.float32)
        (exponent,) = chosen("isotone", rows)
        assert np.floor(np.ldexp(-5.0, -exponent) + 0.5) > np.floor(np.ldexp(-5.1, -exponent) + 0.5) >= -128


def test_errors_count_by_what_they_do_to_the_outputs() -> None:
    """A large value is kept in a channel that matters, and cut off in one that does not."""
    values = np.stack([NORMAL[:4096], NORMAL[4096:8192]])[None]
    values[0, 1, 17] = 60.0
    found = {}
    for weight in (1.0, 1e-6):
        observer = create_observer("output", 8)
        observer.part(View(np.array([1.0, weight]))).observe(values)
        found[weight] = observer.exponents()[0]
    assert found[1e-6] < found[1.0]


def test_errors_count_behind_the_activation() -> None:
    """What a saturating function makes the same of need not be told apart."""
    values = np.concatenate([NORMAL[:4096], NORMAL[:64] * 40])
    plain, behind = (create_observer("output", 8) for _ in range(2))
    plain.part(View()).observe(values)
    behind.part(View(function=np.tanh)).observe(values)
    assert behind.exponents()[0] < plain.exponents()[0]


@given(st.lists(st.floats(0.01, 100.0), min_size=2, max_size=4))
def test_the_order_of_batches_hardly_matters(scales: list[float]) -> None:
    batches = [NORMAL[:2000] * np.float32(scale) for scale in scales]
    one, other = chosen("output", *batches)[0], chosen("output", *reversed(batches))[0]
    assert abs(one - other) <= 1


@pytest.mark.parametrize(("largest", "exponent"), [(7.9, -4), (8.0, -4), (8.1, -3), (40.0, -1)])
def test_what_must_stay_whole_is_cut_off_by_a_step_at_most(largest: float, exponent: int) -> None:
    """A large value is worth cutting off by its squared error, but not where it is the answer."""
    values = np.concatenate([np.tile(NORMAL, 50), [largest]]).astype(np.float32)
    observer = create_observer("output", 8)
    part, other = observer.part(View(whole=True)), create_observer("output", 8).part(View())
    for each in (part, other):
        each.observe_some(values[None], np.array([[values.min(), largest]]), values.size)
    assert observer.exponents() == (exponent,)
    errors = [each.error(exponent - 1) for each in (part, other)]  # type: ignore[attr-defined]  # parts of this algorithm have it
    assert math.isinf(errors[0]) and errors[1] < math.inf
