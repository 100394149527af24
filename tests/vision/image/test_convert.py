"""Colours: every pair of pixel types against a slow integer oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from espdl.vision.image import HsvRange, Image, PixelType, convert, convertible
from espdl.vision.image.color import hsv_of, rgb_of_yuv
from tests.vision.image import oracle

COLORS = {"RGB888", "BGR888", "RGB565LE", "RGB565BE", "BGR565LE", "BGR565BE"}
QUANTIZED = {"RGB888_QINT8", "RGB888_QINT16", "BGR888_QINT8", "BGR888_QINT16"}
GRAYS = {"GRAY", "GRAY_QINT8", "GRAY_QINT16"}
RED = HsvRange((170, 40, 30), (10, 255, 250))
PAIRS = [(s, t) for s in PixelType for t in PixelType if convertible(s, t)]
PLAIN_PAIRS = [(s, t) for s, t in PAIRS if not t.is_quantized]


def test_the_pairs_are_those_of_the_chip() -> None:
    wanted = {(s, t) for s in COLORS for t in COLORS | QUANTIZED | GRAYS | {"HSV", "HSV_MASK"}}
    wanted |= {("GRAY", t) for t in GRAYS} | {("HSV", "HSV_MASK")}
    wanted |= {(s, t) for s in ("YUYV", "UYVY") for t in COLORS | QUANTIZED | GRAYS | {"HSV", "HSV_MASK", "YUYV", "UYVY"}}
    assert {(s.name, t.name) for s, t in PAIRS} == wanted


@pytest.mark.parametrize(("source", "target"), PLAIN_PAIRS, ids=lambda pix_type: pix_type.name)
def test_each_pair_equals_the_oracle(source: PixelType, target: PixelType) -> None:
    pixels = oracle.random_pixels(source * 17 + target, 14, 9, source)
    got = convert(Image(pixels, source), target, RED if target is PixelType.HSV_MASK else None)
    assert (got.width, got.height, got.pix_type) == (14, 9, target)
    if target in (PixelType.YUYV, PixelType.UYVY):
        swapped = pixels if source is target else pixels[..., ::-1]
        np.testing.assert_array_equal(got.data, swapped)
        return
    wanted = [[oracle.converted_pixel(pixels, x, y, source, target, RED) for x in range(14)] for y in range(9)]
    np.testing.assert_array_equal(got.data, np.array(wanted, np.uint8))


def test_hsv_of_every_fourth_color() -> None:
    steps = np.append(np.arange(0, 256, 12), 255).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    wanted = [oracle.hsv_of(*map(int, color)) for color in grid]
    np.testing.assert_array_equal(hsv_of(grid), np.array(wanted, np.uint8))


@pytest.mark.parametrize(
    ("rgb", "hsv"),
    [
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (0, 0, 255)),
        ((255, 0, 0), (0, 255, 255)),
        ((0, 255, 0), (60, 255, 255)),
        ((0, 0, 255), (120, 255, 255)),
        ((255, 0, 1), (0, 255, 255)),
        ((255, 0, 5), (179, 255, 255)),
    ],
)
def test_known_hues(rgb: tuple[int, int, int], hsv: tuple[int, int, int]) -> None:
    assert tuple(hsv_of(np.array(rgb, np.uint8)).tolist()) == hsv


def test_yuv_is_full_range_and_clamped() -> None:
    yuv = np.array([[0, 128, 128], [255, 128, 128], [255, 0, 255], [0, 255, 0], [76, 85, 255]], np.uint8)
    np.testing.assert_array_equal(rgb_of_yuv(yuv), [[0, 0, 0], [255, 255, 255], [255, 208, 28], [0, 48, 225], [254, 0, 0]])


def test_565_has_no_repeated_bits() -> None:
    white = convert(Image.from_array(np.full((1, 1, 3), 255, np.uint8)), PixelType.RGB565LE)
    assert white.tobytes() == b"\xff\xff"
    assert white.convert(PixelType.RGB888).data.tolist() == [[[248, 252, 248]]]


@given(st.integers(0, 2**32), st.sampled_from(["RGB565LE", "RGB565BE", "BGR565LE", "BGR565BE"]))
def test_565_survives_a_trip_through_888(seed: int, name: str) -> None:
    pix_type = PixelType[name]
    pixels = oracle.random_pixels(seed, 5, 3, pix_type)
    image = Image(pixels, pix_type)
    assert image.convert(PixelType.BGR888).convert(pix_type).tobytes() == image.tobytes()


def test_refusals() -> None:
    gray = Image.from_array(np.zeros((2, 3), np.uint8))
    with pytest.raises(EspdlError, match=r"does not convert GRAY to RGB888[^?]*\n.*GRAY, GRAY_QINT8"):
        gray.convert(PixelType.RGB888)
    with pytest.raises(EspdlError, match="needs mean, std and an exponent"):
        gray.convert(PixelType.GRAY_QINT8)
    with pytest.raises(EspdlError, match="needs a range of colours"):
        Image.from_array(np.zeros((2, 3, 3), np.uint8)).convert(PixelType.HSV_MASK)
    with pytest.raises(EspdlError, match="cannot be 3 pixels wide"):
        Image(np.zeros((2, 3, 2), np.uint8), PixelType.YUYV).convert(PixelType.RGB888)
    mask = Image(np.zeros((2, 3, 1), np.uint8), PixelType.HSV_MASK)
    with pytest.raises(EspdlError, match="does not convert HSV_MASK to GRAY"):
        mask.convert(PixelType.GRAY)


@pytest.mark.parametrize(
    ("low", "high", "complaint"),
    [
        ((181, 0, 0), (10, 255, 255), "at most 180"),
        ((0, 0, 0), (200, 255, 255), "at most 180"),
        ((0, 9, 0), (10, 9, 255), "saturation from 9 to 9"),
        ((0, 0, 9), (10, 9, 8), "value from 9 to 8"),
        ((0, 0, -1), (10, 9, 8), "0 to 255"),
    ],
)
def test_color_ranges_that_the_chip_refuses(low: tuple[int, int, int], high: tuple[int, int, int], complaint: str) -> None:
    with pytest.raises(EspdlError, match=complaint):
        HsvRange(low, high)
