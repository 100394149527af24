"""Motion and colours: drawn pictures, and loops over the chip's walk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from espdl import EspdlError
from espdl.vision.colors import ColorDetect, ColorRotateDetect
from espdl.vision.image import HsvRange
from espdl.vision.motion import get_moving_point_number
from espdl.vision.regions import filled, outline_area, region_ends

RED, GREEN = (220, 20, 20), (20, 200, 30)
REDS, GREENS = HsvRange((170, 100, 100), (10, 255, 255)), HsvRange((50, 100, 100), (70, 255, 255))


def by_walking(one: NDArray, other: NDArray, stride: int, threshold: int) -> int:
    """The chip's two pointers, step by step."""
    height, width = one.shape
    place = count = 0
    for _ in range(0, height, stride):
        for _ in range(0, width, stride):
            count += abs(int(one.flat[place]) - int(other.flat[place])) > threshold
            place += stride
        place += width % stride
    return count


@given(seed=st.integers(0, 99), stride=st.sampled_from([1, 2, 3, 4]), width=st.integers(8, 17))
def test_motion_is_counted_as_the_chip_walks(seed: int, stride: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 40, (2, 16, width)).astype(np.uint8)
    assert get_moving_point_number(one, other, stride, 7) == by_walking(one, other, stride, 7)


def test_a_stride_looks_at_the_upper_part_only() -> None:
    one = np.zeros((16, 16), np.uint8)
    upper, lower = one.copy(), one.copy()
    upper[:8] = lower[8:] = 200
    assert get_moving_point_number(one, upper, 2) == 64 and get_moving_point_number(one, lower, 2) == 0
    assert get_moving_point_number(one, lower) == 128
    assert get_moving_point_number(np.dstack([one] * 3), np.dstack([lower] * 3), threshold=199) == 128


def test_pictures_that_do_not_fit() -> None:
    one = np.zeros((4, 5), np.uint8)
    with pytest.raises(EspdlError, match="5 x 4 and 4 x 5"):
        get_moving_point_number(one, one.T)
    with pytest.raises(EspdlError, match="stride of 0"):
        get_moving_point_number(one, one, 0)
    with pytest.raises(EspdlError, match="reads behind the end"):
        get_moving_point_number(np.zeros((3, 1), np.uint8), np.zeros((3, 1), np.uint8), 2)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    pixels = np.full((120, 160, 3), 128, np.uint8)
    pixels[20:60, 10:70] = RED
    pixels[70:110, 100:150] = GREEN
    pixels[5:8, 140:143] = RED  # a speck
    return pixels


def test_colours_are_found(picture: NDArray[np.uint8]) -> None:
    detector = ColorDetect(80, 60)
    detector.register_color(REDS, "red", area=2)
    detector.register_color(GREENS, "green")
    assert [(one.label, one.category, one.score, one.box) for one in detector.run(picture)] == [
        ("red", 0, 1.0, (140, 6, 144, 8)),
        ("red", 0, 1.0, (10, 20, 70, 60)),
        ("green", 1, 1.0, (100, 70, 150, 110)),
    ]
    detector.delete_color("red")
    assert [one.category for one in detector.run(picture)] == [0]


def test_morphology_drops_specks_and_fills_holes(picture: NDArray[np.uint8]) -> None:
    picture[38:41, 30:33] = 128
    plain, smooth = (ColorDetect(160, 120, morphology=on) for on in (False, True))
    for detector in (plain, smooth):
        detector.register_color(REDS, "red", area=1)
    assert len(plain.run(picture)) == 2
    (found,) = smooth.run(picture)
    assert found.box == (10, 20, 70, 60)
    smooth.delete_color("red")
    smooth.register_color(REDS, "red", area=40 * 60)  # with the hole filled
    assert len(smooth.run(picture)) == 1


def test_boxes_are_clipped_to_the_picture() -> None:
    detector = ColorDetect(16, 16)
    detector.register_color(REDS, "red", area=10)
    assert detector.run(np.full((33, 47, 3), RED, np.uint8))[0].box == (0, 0, 46, 32)


def test_colours_that_cannot_be() -> None:
    detector = ColorDetect(10, 10)
    with pytest.raises(EspdlError, match="no region has 100 pixels"):
        detector.register_color(REDS, "red", area=100)
    detector.register_color(REDS, "red", area=5)
    with pytest.raises(EspdlError, match="already"):
        detector.register_color(GREENS, "red", area=5)
    with pytest.raises(EspdlError, match=r"no colour 'blue'.*red"):
        detector.delete_color("blue")
    with pytest.raises(EspdlError, match="side of 0"):
        ColorDetect(10, 10, kernel=0)
    with pytest.raises(EspdlError, match="cannot be 0 x 10"):
        ColorDetect(0, 10)


def reds(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    pixels = np.full((*mask.shape, 3), 128, np.uint8)
    pixels[mask] = RED
    return pixels


def finder(width: int, height: int, area: int = 1, kernel: int = 1) -> ColorRotateDetect:
    detector = ColorRotateDetect(width, height, kernel=kernel)
    detector.register_color(REDS, "red", area)
    return detector


def drawn(*rows: str) -> NDArray[np.bool_]:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


@pytest.mark.parametrize(
    ("rows", "area"),
    [
        (["###", "###"], 2),
        (["#####"], 0),
        (["#..", ".#.", "..#"], 0),
        ([".#.", "#.#", ".#."], 2),  # round a hole
        (["##.", "###"], 1.5),
        (["#####", "#...#", "#.#.#", "#...#", "#####"], 16),
    ],
)
def test_the_area_inside_an_outline(rows: list[str], area: float) -> None:
    (ends,) = region_ends(filled(drawn(*rows)), 9)
    assert outline_area(ends) == area


def test_holes_are_what_the_sides_of_pixels_shut_off() -> None:
    assert filled(drawn(".##.", "#..#", ".##.")).tolist() == drawn(".##.", "####", ".##.").tolist()
    assert filled(drawn(".##.", "#..#", ".#..")).tolist() == drawn(".##.", "#..#", ".#..").tolist()
    assert len(region_ends(drawn("#.", ".#"), 9)) == 1 and len(region_ends(drawn("#.", ".#"), 9, corners=False)) == 2


def test_an_upright_rectangle() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:20, 10:40] = True
    (found,) = finder(80, 60).run(reds(mask))
    assert (found.label, found.category, found.score) == ("red", 0, 1.0)
    assert (found.center, found.size, found.angle) == ((24.5, 14.5), (9, 29), 90)  # the outline runs through the pixels' middles
    assert sorted(found.corners) == [pytest.approx(corner) for corner in ((10, 10), (10, 19), (39, 10), (39, 19))]
    assert found.to_json()["size"] == [9, 29]


def test_a_turned_rectangle() -> None:
    y, x = np.mgrid[:60, :60]
    mask = (np.abs(x + y - 60) <= 30) & (np.abs(x - y) <= 10)  # the sides lie at 45 degrees, with corners (40, 50), (50, 40) ...
    (found,) = finder(60, 60).run(reds(mask))
    assert found.center == pytest.approx((30, 30)) and found.angle == pytest.approx(45)
    assert found.size == pytest.approx((30 * 2**0.5, 10 * 2**0.5))
    assert sorted(found.corners) == [pytest.approx(corner) for corner in ((10, 20), (20, 10), (40, 50), (50, 40))]


def test_sides_are_stretched_and_the_angle_stays() -> None:
    y, x = np.mgrid[:60, :60]
    mask = (np.abs(x + y - 60) <= 30) & (np.abs(x - y) <= 10)
    (found,) = finder(60, 60).run(np.repeat(reds(mask), 3, axis=1))  # three times as wide as what is searched
    assert found.center == pytest.approx((90, 30)) and found.angle == pytest.approx(45)
    assert found.size == pytest.approx((30 * 5**0.5 * 2**0.5, 10 * 5**0.5 * 2**0.5))  # (3, 1) / sqrt(2) for each direction
    upright = np.zeros((60, 60), bool)
    upright[10:20, 10:40] = True
    (found,) = finder(60, 60).run(np.repeat(reds(upright), 3, axis=1))
    assert (found.center, found.size, found.angle) == ((73.5, 14.5), (9, 87), 90)


def test_what_lies_in_a_hole_is_not_found_and_the_last_comes_first() -> None:
    mask = np.zeros((60, 80), bool)
    mask[5:15, 60:70] = mask[20:50, 10:50] = True
    mask[25:45, 15:45] = False
    mask[30:35, 20:30] = True
    detector = finder(80, 60)
    assert [found.center for found in detector.run(reds(mask))] == [(29.5, 34.5), (64.5, 9.5)]
    detector.delete_color("red")
    detector.register_color(REDS, "red", area=29 * 39)
    assert len(detector.run(reds(mask))) == 1  # the hole counts
    detector.delete_color("red")
    detector.register_color(REDS, "red", area=29 * 39 + 1)
    assert detector.run(reds(mask)) == []


def test_specks_are_dropped_always() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 10:20] = mask[30:33, 30:33] = True
    detector = ColorRotateDetect(40, 40)
    detector.register_color(REDS, "red", area=0)
    assert [found.size for found in detector.run(reds(mask))] == [(9, 9)]
    (point,) = finder(40, 40, area=0).run(reds(mask & (np.arange(1600).reshape(40, 40) == 415)))
    assert (point.center, point.size, point.angle) == ((15, 10), (0, 0), 90)
    with pytest.raises(EspdlError, match="side of 0"):
        ColorRotateDetect(10, 10, kernel=0)
