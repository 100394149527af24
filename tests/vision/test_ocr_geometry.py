"""Geometry, regions and sampling of OCR: by hand, and against loops over the definitions."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from espdl import EspdlError
from espdl.vision.hulls import convex_hull
from espdl.vision.ocr.quads import grown, mean_inside, ordered, smallest_rectangle
from espdl.vision.ocr.sampling import bilinear, perspective, warped
from espdl.vision.regions import region_ends

POINTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=25)


def turned(corners: list[tuple[float, float]], degrees: float, at: tuple[float, float]) -> NDArray[np.float64]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(corners) @ np.array([[c, s], [-s, c]]) + at


def test_corners_are_ordered() -> None:
    expected = [[1, 2], [9, 3], [8, 7], [0, 6]]
    for turn in range(4):
        assert ordered(np.roll(expected, turn, axis=0)).tolist() == expected
        assert ordered(np.roll(expected, turn, axis=0)[::-1]).tolist() == expected
    assert sorted(ordered([(5, 0), (10, 5), (5, 10), (0, 5)]).tolist()) == [
        [0, 5],
        [5, 0],
        [5, 10],
        [10, 5],
    ]  # none is lost in a tie


@given(points=POINTS)
def test_the_hull_holds_all_points_and_turns_one_way(points: list[tuple[int, int]]) -> None:
    hull = convex_hull(points)
    assert {tuple(p) for p in hull.tolist()} <= {(float(x), float(y)) for x, y in points}
    if len(hull) > 2:
        for a, b, c in zip(hull, np.roll(hull, -1, axis=0), np.roll(hull, -2, axis=0), strict=True):
            assert np.cross(np.append(b - a, 0), np.append(c - b, 0))[2] > 0
            assert all(np.cross(np.append(b - a, 0), np.append(np.array(p) - a, 0))[2] >= 0 for p in points)


@pytest.mark.parametrize("degrees", [0, 10, 30, -25, 44])
def test_the_smallest_rectangle_around_a_turned_one_is_itself(degrees: float) -> None:
    corners = turned([(0, 0), (60, 0), (60, 12), (0, 12)], degrees, (100, 90))
    inner = turned([(10, 3), (50, 6), (30, 11)], degrees, (100, 90))
    found, side = smallest_rectangle(np.concatenate((inner, corners)))
    np.testing.assert_allclose(found, ordered(corners), atol=1e-3)
    assert side == pytest.approx(12, abs=1e-3)


@given(points=POINTS)
def test_no_turn_gives_a_smaller_rectangle(points: list[tuple[int, int]]) -> None:
    found, side = smallest_rectangle(points)
    if len(set(points)) == 1:
        assert side == 1 and np.ptp(found, axis=0).tolist() == [1, 1]
        return
    x, y = (np.append(column, column[0]).astype(float) for column in convex_hull(found).T)
    area = (
        abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2
    )  # of the corners in whatever order; thin ones at 45 degrees cross over
    for degrees in range(0, 90, 3):
        extents = np.ptp(turned([(float(x), float(y)) for x, y in points], degrees, (0, 0)), axis=0)
        assert area <= extents.prod() + 1e-3


def test_growing_by_hand() -> None:
    corners = [(0, 0), (40, 0), (40, 10), (0, 10)]
    by = 400 * 1.4 / 100
    points = grown(corners, 1.4)
    np.testing.assert_allclose(points.min(axis=0), (-by, -by), atol=1e-4)
    np.testing.assert_allclose(points.max(axis=0), (40 + by, 10 + by), atol=1e-4)
    assert (
        4 * 7 <= len(points) <= 4 * 8
    )  # a quarter of a turn in steps of 15 degrees, or seven where rounding makes it a bit more
    outside = np.hypot(*(points - np.clip(points, (0, 0), (40, 10))).T)
    np.testing.assert_allclose(outside, by, atol=1e-4)
    np.testing.assert_allclose(grown(corners[::-1], 1.4).max(axis=0), points.max(axis=0), atol=1e-4)
    assert grown([(1, 1)] * 4, 1.4).tolist() == [[1, 1]] * 4


def test_the_mean_counts_pixels_whose_centre_is_inside() -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert mean_inside(values, [(1, 1), (3, 1), (3, 3), (1, 3)]) == pytest.approx(values[1:3, 1:3].mean())
    assert mean_inside(values, [(-5, -5), (50, -5), (50, 50), (-5, 50)]) == pytest.approx(values.mean())
    triangle_like = [(0, 0), (4.5, 0), (4.5, 0), (0, 4.5)]
    chosen = [values[y, x] for y in range(4) for x in range(4) if x + y + 1 < 4.5]
    assert mean_inside(values, triangle_like) == pytest.approx(np.mean(chosen))
    assert mean_inside(values, [(1.1, 1.1), (1.2, 1.1), (1.2, 1.2), (1.1, 1.2)]) == 0


def by_search(mask: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    """Regions by breadth-first search from every pixel, row by row."""
    seen, regions = np.zeros_like(mask), []
    for y, x in np.argwhere(mask):
        if seen[y, x]:
            continue
        region, queue = set(), deque([(int(x), int(y))])
        seen[y, x] = True
        while queue:
            cx, cy = queue.popleft()
            region.add((cx, cy))
            for ny in range(max(0, cy - 1), min(mask.shape[0], cy + 2)):
                for nx in range(max(0, cx - 1), min(mask.shape[1], cx + 2)):
                    if mask[ny, nx] and not seen[ny, nx]:
                        seen[ny, nx] = True
                        queue.append((nx, ny))
        regions.append(region)
    return regions


@given(seed=st.integers(0, 10**6), density=st.floats(0.05, 0.9))
def test_regions_are_those_of_a_search(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((11, 13)) < density
    expected = by_search(mask)
    found = region_ends(mask, 1000)
    assert len(found) == len(expected)
    for ends, region in zip(found, expected, strict=True):
        assert {(int(x), int(y)) for x, y in ends} <= region
        assert convex_hull(ends).tolist() == convex_hull(sorted(region)).tolist()
    assert len(region_ends(mask, 2)) == min(2, len(expected))


def test_no_region() -> None:
    assert region_ends(np.zeros((3, 4), bool), 10) == []
    assert [ends.tolist() for ends in region_ends(np.ones((1, 1), bool), 10)] == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize(("width", "height"), [(3, 2), (7, 9), (1, 1), (20, 4)])
def test_bilinear_is_the_four_nearest(width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    got = bilinear(pixels, width, height)
    for y in range(height):
        for x in range(width):
            sx, sy = (x + 0.5) * 5 / width - 0.5, (y + 0.5) * 4 / height - 0.5
            x0, y0 = math.floor(sx), math.floor(sy)
            expected = sum(
                (1 - abs(sx - i)) * (1 - abs(sy - j)) * pixels[min(max(j, 0), 3), min(max(i, 0), 4)].astype(float)
                for i in (x0, x0 + 1)
                for j in (y0, y0 + 1)
            )
            np.testing.assert_allclose(got[y, x], expected, atol=1e-3)


def test_a_perspective_leads_corners_to_corners() -> None:
    source, target = [(0, 0), (30, 0), (30, 10), (0, 10)], [(5, 7), (40, 3), (44, 22), (2, 19)]
    matrix = perspective(source, target)
    for (x, y), expected in zip(source, target, strict=True):
        u, v, w = matrix @ (x, y, 1)
        assert (u / w, v / w) == pytest.approx(expected, abs=1e-3)
    with pytest.raises(EspdlError, match="three of them lie on a line"):
        perspective([(0, 0), (1, 0), (2, 0), (0, 1)], target)


def test_warping() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    moved = warped(pixels, np.array([[1, 0, 2], [0, 1, 1], [0, 0, 1]], np.float32), 8, 6)
    assert np.array_equal(moved[:5, :6], pixels[1:, 2:]) and np.array_equal(moved[:5, 7], pixels[1:, 7])  # the border is repeated
    ramp = np.tile(np.arange(0, 80, 10, dtype=np.uint8)[np.newaxis, :, np.newaxis], (6, 1, 1))
    half = warped(ramp, np.array([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]], np.float32), 8, 6)
    assert half[0, 2:5, 0].tolist() == [25, 35, 45]  # cubic weights keep straight lines
