"""Drawing into images and over pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from espdl.errors import EspdlError
from espdl.vision.image import Image, Mark, PixelType, annotate, draw_hollow_rectangle, draw_point


def blank(width: int = 12, height: int = 9, pix_type: PixelType = PixelType.RGB888) -> Image:
    return Image(np.zeros((height, width, pix_type.elements), np.uint8), pix_type)


@given(st.integers(0, 11), st.integers(0, 8), st.integers(0, 7))
def test_a_point_is_a_disc(x: int, y: int, radius: int) -> None:
    image = blank()
    draw_point(image, x, y, (255, 1, 2), radius)
    wanted = [[(i - x) ** 2 + (j - y) ** 2 <= radius**2 for i in range(12)] for j in range(9)]
    np.testing.assert_array_equal((image.data == (255, 1, 2)).all(axis=2), wanted)


@given(*[st.integers(0, 11) for _ in range(4)], st.integers(1, 5))
def test_a_hollow_rectangle(x1: int, x2: int, y1: int, y2: int, width: int) -> None:
    assume(x1 < x2 and y1 < y2 <= 8)
    image = blank()
    draw_hollow_rectangle(image, x1, y1, x2, y2, (9, 8, 7), width)
    outward = width // 2
    inward = width - outward
    for y in range(9):
        for x in range(12):
            outer = x1 - outward <= x <= x2 + outward and y1 - outward <= y <= y2 + outward
            inner = x1 + inward <= x <= x2 - inward and y1 + inward <= y <= y2 - inward
            assert (image.data[y, x] == (9, 8, 7)).all() == (outer and not inner), (x, y)


@pytest.mark.parametrize(
    ("pix_type", "color", "pixel"),
    [
        (PixelType.BGR888, (1, 2, 3), [3, 2, 1]),
        (PixelType.RGB565BE, (255, 0, 0), [0xF8, 0]),
        (PixelType.BGR565LE, (255, 0, 0), [0x1F, 0]),
        (PixelType.HSV, (0, 255, 0), [60, 255, 255]),
        (PixelType.GRAY, 7, [7]),
        (PixelType.HSV_MASK, 255, [255]),
    ],
)
def test_colors_are_converted(pix_type: PixelType, color: int | tuple[int, ...], pixel: list[int]) -> None:
    image = blank(pix_type=pix_type)
    draw_point(image, 3, 4, color, 0)
    assert image.data[4, 3].tolist() == pixel
    assert np.count_nonzero(image.data.any(axis=2)) == 1


def test_refusals() -> None:
    with pytest.raises(EspdlError, match="lies outside"):
        draw_point(blank(), 12, 0, (0, 0, 0), 3)
    for box in ((3, 3, 3, 5), (3, 5, 5, 5), (0, 0, 12, 5), (-1, 0, 4, 4)):
        with pytest.raises(EspdlError, match="cannot be drawn"):
            draw_hollow_rectangle(blank(), *box, (0, 0, 0))
    with pytest.raises(EspdlError, match="nothing can be drawn"):
        draw_point(Image(np.zeros((2, 2, 3), np.int8), PixelType.RGB888_QINT8), 0, 0, (0, 0, 0), 1)
    with pytest.raises(EspdlError, match="nothing can be drawn"):
        draw_point(blank(pix_type=PixelType.YUYV), 0, 0, (0, 0, 0), 1)
    with pytest.raises(EspdlError, match="is no colour"):
        draw_point(blank(), 0, 0, 5, 1)
    frame = Image.from_bytes(bytes(12), 2, 2, PixelType.RGB888)
    with pytest.raises(EspdlError, match="cannot be written to"):
        draw_point(frame, 0, 0, (1, 1, 1), 1)
    draw_point(frame.copy(), 0, 0, (1, 1, 1), 1)


def pixels_of(*marks: Mark, size: tuple[int, int] = (200, 160)) -> np.ndarray:
    return np.asarray(annotate(np.zeros((size[1], size[0], 3), np.uint8), marks))


def test_a_mark_with_everything() -> None:
    mask = np.zeros((60, 50), bool)
    mask[10:20] = True
    points = ((30.0, 30.0), (60.0, 80.0), None)
    picture = pixels_of(Mark((20, 40, 70, 100), "person 0.93", 2, points, ((0, 1), (1, 2)), mask))
    blue = [0x43, 0x63, 0xD8]
    assert picture[100, 45].tolist() == picture[70, 20].tolist() == blue  # the box
    assert picture[55, 30].tolist() == [30, 45, 97]  # the mask, 45 % of the colour
    assert picture[65, 65].tolist() == [0, 0, 0]
    assert picture[30, 30].tolist() == blue  # a key point
    assert picture[55, 45].tolist() == blue  # half way between both
    assert (picture[25:40, 20:80] > 150).all(axis=2).any()  # the text above the box


def test_marks_at_the_edges_stay_in_the_picture() -> None:
    for box in ((0, 0, 40, 30), (150, 100, 260, 200), (-30, -20, 20, 20), (190, 0, 199, 159)):
        mask = np.ones((box[3] - box[1], box[2] - box[0]))
        assert (pixels_of(Mark(box, "a long label", mask=mask)) > 150).all(axis=2).any()


def test_an_outline_and_a_gray_picture() -> None:
    outline = Mark(polygon=((10, 10), (50, 14), (48, 40), (9, 33)), label="text")
    assert pixels_of(outline).any()
    picture = annotate(np.zeros((50, 60), np.uint8), [outline])
    assert (picture.mode, picture.size) == ("RGB", (60, 50))


def test_the_picture_given_stays_as_it_is() -> None:
    pixels = np.zeros((50, 60, 3), np.uint8)
    annotate(pixels, [Mark((5, 5, 30, 30), "x")])
    assert not pixels.any()


def test_a_mask_of_another_size() -> None:
    with pytest.raises(EspdlError, match="a mask of"):
        pixels_of(Mark((0, 0, 5, 5), mask=np.ones((4, 5))))
    with pytest.raises(EspdlError, match="needs the box"):
        pixels_of(Mark(mask=np.ones((4, 5))))
