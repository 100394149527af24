"""The picture hardware: scales by hand, sizes of encoded pictures, and errors for what is not known."""

from __future__ import annotations

import numpy as np
import pytest

from espdl import EspdlError
from espdl.vision.image import Image, PixelType, hw_decoded_size, ppa_scale, resize_ppa, sw_encode_jpeg

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("old", "new", "scale"),
    [(640, 320, 0.5), (320, 224, 0.6875), (100, 100, 1), (100, 250, 2.5), (100, 99, 0.9375), (16, 1, 0.0625), (1, 255, 255)],
)
def test_scales_are_sixteenths(old: int, new: int, scale: float) -> None:
    assert ppa_scale(old, new) == scale


@pytest.mark.parametrize(("old", "new"), [(17, 1), (1, 256), (0, 5), (5, 70000)])
def test_scales_that_are_not(old: int, new: int) -> None:
    with pytest.raises(EspdlError, match=r"does not scale|no image has a side"):
        ppa_scale(old, new)


def test_what_stays_as_it_is() -> None:
    image = Image(RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    swapped = resize_ppa(image, 6, 4, PixelType.BGR888)
    assert swapped.pix_type is PixelType.BGR888 and np.array_equal(swapped.data, image.data[:, :, ::-1])
    assert np.array_equal(resize_ppa(image, 6, 4).data, image.data)
    packed = Image(RNG.integers(0, 256, (4, 6, 2), dtype=np.uint8), PixelType.BGR565BE)
    assert resize_ppa(packed, 6, 4, PixelType.BGR565LE).tobytes() == packed.convert(PixelType.BGR565LE).tobytes()


@pytest.mark.parametrize(
    ("source", "target", "size", "match"),
    [
        (PixelType.GRAY, None, (6, 4), "does not make GRAY of GRAY.*nothing"),
        (PixelType.RGB565LE, PixelType.RGB888, (6, 4), "does not make RGB888 of RGB565LE.*BGR888, RGB565LE"),
        (PixelType.RGB565LE, PixelType.BGR888, (6, 4), "rounds RGB565LE to BGR888 is not known"),
        (PixelType.RGB888, PixelType.BGR565LE, (6, 4), "rounds RGB888 to BGR565LE is not known"),
        (PixelType.RGB888, None, (3, 3), "not published; its scales would be 0.5 and 0.75"),
        (PixelType.RGB888, None, (6, 1024), "does not scale 4 pixels to 1024"),
    ],
)
def test_what_is_not_known(source: PixelType, target: PixelType | None, size: tuple[int, int], match: str) -> None:
    with pytest.raises(EspdlError, match=match):
        resize_ppa(Image(np.zeros((4, 6, source.elements), np.uint8), source), *size, target)


def test_decoded_images_are_whole_blocks() -> None:
    colour, gray = np.zeros((33, 50, 3), np.uint8), np.zeros((33, 50, 1), np.uint8)
    assert hw_decoded_size(sw_encode_jpeg(Image(colour))) == (64, 48)  # 4:2:0
    assert hw_decoded_size(sw_encode_jpeg(Image(gray, PixelType.GRAY))) == (56, 40)
    with pytest.raises(EspdlError, match="no picture"):
        hw_decoded_size(b"nothing")
