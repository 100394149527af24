"""Crop, resize, border, warp and quantizing against a slow oracle that picks one pixel after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from espdl.rounding import Rounding
from espdl.vision.image import (
    Border,
    HsvRange,
    Image,
    ImageTransformer,
    NormQuant,
    PixelType,
    Resampling,
    convertible,
    invert_affine,
    invert_affine_as_chip,
    resize_bilinear,
)
from tests.vision.image import oracle

PAIRS = [(s, t) for s in PixelType for t in PixelType if convertible(s, t) and t.name not in ("YUYV", "UYVY")]
GREEN = HsvRange((30, 20, 20), (90, 255, 255))


def norm_for(pix_type: PixelType, rounding: Rounding) -> NormQuant | None:
    if not pix_type.is_quantized:
        return None
    mean, std = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)) if pix_type.channels == 3 else ((127.5,), (127.5,))
    return NormQuant(mean, std, -5 if pix_type.dtype == np.int8 else -12, pix_type.dtype, rounding)


def quantized(pixel: tuple[int, ...], norm: NormQuant) -> list[int]:
    values = []
    limits = np.iinfo(norm.dtype)
    for channel, value in enumerate(pixel):
        real = (np.float32(value) - np.float32(norm.mean[channel])) * (np.float32(1) / np.float32(norm.std[channel]))
        scaled = np.float32(real) * np.float32(2.0**-norm.exponent)
        rounded = round(float(scaled)) if norm.rounding is Rounding.HALF_EVEN else math.floor(scaled + np.float32(0.5))
        values.append(max(limits.min, min(limits.max, rounded)))
    return values


@given(
    st.sampled_from(PAIRS),
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.data(),
)
def test_one_pass_equals_the_oracle(
    pair: tuple[PixelType, PixelType], seed: int, size: tuple[int, int], new: tuple[int, int], data: st.DataObject
) -> None:
    source, target = pair
    width, height = size
    if source in (PixelType.YUYV, PixelType.UYVY):
        width *= 2
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    border = Border(*(data.draw(st.integers(0, 2)) for _ in range(4)))
    assume(border.left + border.right < new[0] and border.top + border.bottom < new[1])
    gray = source.channels == 1
    background = 77 if gray else (10, 200, 30)
    norm = norm_for(target, data.draw(st.sampled_from(list(Rounding))))
    pixels = oracle.random_pixels(seed, width, height, source)
    hsv_range = GREEN if target is PixelType.HSV_MASK else None
    transformer = ImageTransformer(*new, target, norm=norm, hsv_range=hsv_range, background=background)
    got, geometry = transformer.transform(Image(pixels, source), (x1, y1, x2, y2), border)

    outside = (77,) if gray else oracle.pixel_as(background, target, None, GREEN)
    active = (new[0] - border.left - border.right, new[1] - border.top - border.bottom)
    for j in range(new[1]):
        for i in range(new[0]):
            column, row = i - border.left, j - border.top
            if not (0 <= column < active[0] and 0 <= row < active[1]):
                pixel = outside
            else:
                x = oracle.nearest(column, x2 - x1, active[0], x1, x2)
                y = oracle.nearest(row, y2 - y1, active[1], y1, y2)
                pixel = oracle.converted_pixel(pixels, x, y, source, target, GREEN)
            assert got.data[j, i].tolist() == (list(pixel) if norm is None else quantized(pixel, norm)), (i, j)
    assert geometry.inv_scale_x == np.float32(x2 - x1) / np.float32(active[0])
    assert geometry.inv_scale_y == np.float32(y2 - y1) / np.float32(active[1])


@given(
    st.sampled_from([pair for pair in PAIRS if pair[1] is not PixelType.HSV_MASK]),
    st.integers(0, 2**32),
    st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4),
    st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2),
    st.booleans(),
)
def test_a_warp_equals_the_oracle(
    pair: tuple[PixelType, PixelType], seed: int, linear: list[float], shift: list[float], cropped: bool
) -> None:
    source, target = pair
    pixels = oracle.random_pixels(seed, 8, 6, source)
    matrix = np.array([[*linear[:2], shift[0]], [*linear[2:], shift[1]]], np.float32)
    background = 9 if source.channels == 1 else (9, 80, 200)
    norm = norm_for(target, Rounding.HALF_UP)
    crop = (1, 2, 7, 5) if cropped else (0, 0, 8, 6)
    transformer = ImageTransformer(7, 5, target, norm=norm, background=background)
    got, geometry = transformer.transform(Image(pixels, source), crop, matrix=matrix)
    assert (geometry.inv_scale_x, geometry.inv_scale_y) == (1, 1)

    def moved(row: int, i: int, j: int) -> int:
        a, b, c = matrix[row]
        along = round(float(np.float32(a * np.float32(i)) * 1024))
        down = round(float(np.float32(np.float32(b * np.float32(j)) + c) * 1024))
        return (along + down + 512) >> 10

    for j in range(5):
        for i in range(7):
            x, y = moved(0, i, j), moved(1, i, j)
            if 0 <= x < crop[2] - crop[0] and 0 <= y < crop[3] - crop[1]:
                pixel = oracle.converted_pixel(pixels, x + crop[0], y + crop[1], source, target)
            else:
                pixel = (9,) if source.channels == 1 else oracle.pixel_as(background, target)
            assert got.data[j, i].tolist() == (list(pixel) if norm is None else quantized(pixel, norm)), (i, j)


def test_equal_sizes_are_only_converted() -> None:
    pixels = oracle.random_pixels(1, 5, 4, PixelType.RGB888)
    got, geometry = ImageTransformer(3, 2, PixelType.BGR888).transform(Image(pixels), (1, 2, 4, 4))
    np.testing.assert_array_equal(got.data, pixels[2:4, 1:4, ::-1])
    assert (geometry.scale_x, geometry.scale_y) == (1, 1)


def test_yuv_to_yuv_of_the_same_size() -> None:
    pixels = oracle.random_pixels(2, 8, 3, PixelType.YUYV)
    got, _ = ImageTransformer(4, 3, PixelType.UYVY).transform(Image(pixels, PixelType.YUYV), (2, 0, 6, 3))
    np.testing.assert_array_equal(got.data, pixels[:, 2:6, ::-1])
    with pytest.raises(EspdlError, match="of the same size only"):
        ImageTransformer(4, 2, PixelType.UYVY).transform(Image(pixels, PixelType.YUYV))


@pytest.mark.parametrize(
    ("crop", "complaint"),
    [
        ((0, 0, 5, 3), "reaches out of a picture of 4 x 3"),
        ((-1, 0, 2, 2), "reaches out"),
        ((0, 0, 4, 4), "reaches out"),
        ((2, 1, 2, 3), "is empty"),
        ((3, 1, 2, 3), "is empty"),
        ((0, 0, 4), "no part of a picture"),
        ((0.5, 0, 4, 3), "no part of a picture"),
    ],
)
def test_crops_that_do_not_fit(crop: tuple[float, ...], complaint: str) -> None:
    with pytest.raises(EspdlError, match=complaint):
        ImageTransformer(2, 2).transform(Image(np.zeros((3, 4, 3), np.uint8)), crop)  # type: ignore[arg-type]


def test_an_empty_crop_is_the_whole_picture_as_in_c() -> None:
    assert ImageTransformer(2, 2).transform(Image(np.zeros((3, 4, 3), np.uint8)), [])[1].crop == (0, 0, 4, 3)


def test_parameters_that_do_not_fit() -> None:
    norm = norm_for(PixelType.RGB888_QINT8, Rounding.HALF_UP)
    with pytest.raises(EspdlError, match="for quantized images and only for them"):
        ImageTransformer(2, 2, PixelType.RGB888_QINT8)
    with pytest.raises(EspdlError, match="for quantized images and only for them"):
        ImageTransformer(2, 2, PixelType.RGB888, norm=norm)
    with pytest.raises(EspdlError, match="norm is for others"):
        ImageTransformer(2, 2, PixelType.RGB888_QINT16, norm=norm)
    with pytest.raises(EspdlError, match="for HSV_MASK and only for it"):
        ImageTransformer(2, 2, hsv_range=GREEN)
    with pytest.raises(EspdlError, match="is no colour"):
        ImageTransformer(2, 2, background=(1, 2))
    with pytest.raises(EspdlError, match="sides have 1 to 65535"):
        ImageTransformer(0, 2)
    gray = Image.from_array(np.zeros((4, 4), np.uint8))
    with pytest.raises(EspdlError, match="is one number"):
        ImageTransformer(2, 2, PixelType.GRAY, background=(1, 2, 3)).transform(gray)
    with pytest.raises(EspdlError, match="leave nothing of an image 2 pixels wide"):
        ImageTransformer(2, 2, PixelType.GRAY).transform(gray, border=Border(left=1, right=1))
    with pytest.raises(EspdlError, match="finite matrix of 2 x 3"):
        ImageTransformer(2, 2, PixelType.GRAY).transform(gray, matrix=np.eye(3))


@given(st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4), st.floats(-50, 50), st.floats(-50, 50))
def test_the_inverse_of_a_warp(linear: list[float], dx: float, dy: float) -> None:
    matrix = np.array([[*linear[:2], dx], [*linear[2:], dy]], np.float32)
    assume(abs(np.linalg.det(matrix[:, :2])) > 0.1)
    point = np.array([3.0, -7.0])
    there = matrix[:, :2] @ point + matrix[:, 2]
    back = invert_affine(matrix)
    np.testing.assert_allclose(back[:, :2] @ there + back[:, 2], point, atol=1e-2)
    chip = invert_affine_as_chip(matrix)
    np.testing.assert_allclose(chip[:, :2], back[:, :2], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(chip[:, 2], -matrix[:, :2].astype(float) @ matrix[:, 2], rtol=1e-4, atol=1e-4)


def test_a_matrix_without_inverse() -> None:
    with pytest.raises(EspdlError, match="cannot be inverted"):
        invert_affine([[1, 2, 0], [2, 4, 0]])


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_bilinear_equals_the_oracle(seed: int, width: int, height: int, new_width: int, new_height: int) -> None:
    pixels = oracle.random_pixels(seed, width, height, PixelType.GRAY)
    got = resize_bilinear(pixels, new_width, new_height)
    one = np.float32(1)

    def place(index: int, old: int, new: int) -> tuple[int, int, np.float32]:
        at = (np.float32(index) + np.float32(0.5)) * (np.float32(old) / np.float32(new)) - np.float32(0.5)
        at = min(max(at, np.float32(0)), np.float32(old - 1))
        return int(at), min(int(at) + 1, old - 1), at - np.float32(int(at))

    for j in range(new_height):
        for i in range(new_width):
            x0, x1, fx = place(i, width, new_width)
            y0, y1, fy = place(j, height, new_height)
            rows = [np.float32(pixels[y, x0, 0]) * (one - fx) + np.float32(pixels[y, x1, 0]) * fx for y in (y0, y1)]
            assert got[j, i, 0] == int(rows[0] * (one - fy) + rows[1] * fy + np.float32(0.5))


@pytest.mark.parametrize("resampling", [Resampling.BILINEAR, Resampling.ANTIALIASED])
def test_smooth_resizing_converts_like_any_other(resampling: Resampling) -> None:
    flat = Image(np.full((6, 8, 3), (40, 90, 200), np.uint8))
    transformer = ImageTransformer(5, 3, PixelType.RGB565LE, resampling=resampling)
    assert transformer.transform(flat)[0].convert(PixelType.RGB888).data[1, 2].tolist() == [40, 88, 200]
    gray = Image(np.full((6, 8, 1), 40, np.uint8), PixelType.GRAY)
    assert ImageTransformer(5, 3, PixelType.GRAY, resampling=resampling).transform(gray)[0].data[2, 4, 0] == 40
    hsv = Image(np.zeros((6, 8, 3), np.uint8), PixelType.HSV)
    with pytest.raises(EspdlError, match="hues cannot be mixed"):
        ImageTransformer(5, 3, PixelType.HSV_MASK, hsv_range=GREEN, resampling=resampling).transform(hsv)
