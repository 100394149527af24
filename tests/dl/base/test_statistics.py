"""Statistics of rows of real numbers: what they are, and that both backends give the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from espdl.dl.base import get_kernels
from espdl.dl.base.kernels import Kernels

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 150))


@pytest.fixture(scope="module")
def native() -> Kernels:
    pytest.importorskip("espdl.dl.base._native", reason="the native backend is not built")
    return get_kernels("native")


def rows_of(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * np.exp(rng.uniform(-20, 20, shape))).astype(np.float32)


@given(SIZES, st.integers(0, 1000))
def test_ends_are_those_of_every_row(native: Kernels, shape: tuple[int, int], seed: int) -> None:
    rows = rows_of(shape, seed)
    for kernels in (get_kernels("numpy"), native):
        np.testing.assert_array_equal(
            kernels.row_ends(rows), np.array([[min(row), max(row)] for row in rows.tolist()], np.float32)
        )


@given(SIZES, st.data())
def test_what_is_not_finite_is_seen_wherever_it_stands(native: Kernels, shape: tuple[int, int], data: st.DataObject) -> None:
    rows = rows_of(shape, 0)
    row, column = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    rows[row, column] = data.draw(st.sampled_from((np.nan, np.inf, -np.inf)))
    wanted = get_kernels("numpy").row_ends(rows)
    np.testing.assert_array_equal(native.row_ends(rows), wanted)
    assert np.isfinite(wanted).all(axis=1).tolist() == [other != row for other in range(shape[0])]


@given(SIZES, st.integers(1, 9), st.integers(1, 20), st.integers(0, 1000))
def test_moments_of_taps(native: Kernels, shape: tuple[int, int], taps: int, positions: int, seed: int) -> None:
    rows = rows_of(shape, seed)
    places = np.random.default_rng(seed).integers(-3, shape[1], (taps, positions)).astype(np.int32)
    found = []
    for kernels in (get_kernels("numpy"), native):
        sums, products = np.zeros((shape[0], taps)), np.zeros((shape[0], taps, taps))
        for _ in range(2):
            kernels.tap_moments(rows, places, sums, products)
        found.append((sums, products))
    met = np.where(places < 0, 0, rows[:, np.maximum(places, 0)]).astype(np.float64)
    np.testing.assert_allclose(found[0][0], 2 * met.sum(axis=2), rtol=1e-9, atol=1e-9 * np.abs(met).max())
    np.testing.assert_allclose(found[0][1], 2 * met @ met.swapaxes(1, 2), rtol=1e-9, atol=1e-9 * (met**2).max())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("rows", "places", "sums", "products"),
    [
        ((3, 4), [[4]], (3, 1), (3, 1, 1)),
        ((3, 4), [[0]], (2, 1), (3, 1, 1)),
        ((3, 4), [[0]], (3, 1), (3, 1, 2)),
        ((3, 4), [[0], [1]], (3, 1), (3, 1, 1)),
    ],
)
def test_the_extension_refuses_what_does_not_fit(
    native: Kernels, rows: tuple[int, int], places: list[list[int]], sums: tuple[int, ...], products: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must be|lies beyond"):
        native.tap_moments(np.zeros(rows, np.float32), np.array(places, np.int32), np.zeros(sums), np.zeros(products))


def test_rows_must_not_be_empty(native: Kernels) -> None:
    with pytest.raises(ValueError, match="not empty"):
        native.row_ends(np.zeros((3, 0), np.float32))
