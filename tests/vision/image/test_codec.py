"""Pictures of all sorts: a result or a clear error."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as pillow

from espdl.errors import EspdlError
from espdl.vision.image import (
    Image,
    PixelType,
    read_bmp,
    read_image,
    read_jpeg,
    sw_decode_jpeg,
    sw_encode_jpeg,
    write_bmp,
    write_jpeg,
)
from espdl.vision.image.bmp import decode_bmp, encode_bmp
from tests.vision.image import oracle

PIXELS = oracle.random_pixels(1, 6, 4, PixelType.RGB888)


def encoded(picture: pillow.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def smooth(width: int = 32, height: int = 24) -> Image:
    """A picture that JPEG keeps nearly as it is."""
    y, x = np.mgrid[0:height, 0:width]
    return Image(np.stack((x * 4 + 40, y * 5 + 30, 200 - x - y), axis=-1).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "YCbCr", "PA", "RGBX"])
def test_modes_become_rgb(mode: str) -> None:
    picture = pillow.fromarray(PIXELS)
    got = read_image(picture.convert("P").convert("PA") if mode == "PA" else picture.convert(mode))
    assert got.pix_type is PixelType.RGB888
    assert (got.width, got.height) == (6, 4)


def test_transparency_is_dropped() -> None:
    pixels = np.dstack((PIXELS, np.zeros((4, 6), np.uint8)))
    np.testing.assert_array_equal(read_image(encoded(pillow.fromarray(pixels), "PNG")).data, PIXELS)


@pytest.mark.parametrize("array", [np.zeros((3, 3), np.uint16), np.zeros((3, 3), np.int32), np.zeros((3, 3), np.float32)])
def test_more_than_8_bits_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    pillow.fromarray(array).save(tmp_path / "deep.tiff")
    with pytest.raises(EspdlError, match=r"deep.tiff: pictures of mode .* are not taken"):
        read_image(tmp_path / "deep.tiff")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 3, 4), np.uint8),
        np.zeros((3, 3, 3), np.float32),
        np.zeros((3, 3, 3, 3), np.uint8),
        np.zeros(3, np.uint8),
        np.zeros((3, 3, 3), np.int64),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray) -> None:
    with pytest.raises(EspdlError, match="is no picture"):
        read_image(array)


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 0, 3), (1, 65536, 3)])
def test_sizes_that_are_none(shape: tuple[int, int, int]) -> None:
    with pytest.raises(EspdlError, match=r"cannot have a (width|height) of"):
        read_image(np.zeros(shape, np.uint8))


def test_an_exif_orientation_is_told_and_not_followed() -> None:
    exif = pillow.Exif()
    exif[0x0112] = 6
    data = encoded(pillow.fromarray(PIXELS), "PNG", exif=exif)
    with pytest.warns(UserWarning, match="turned by its EXIF orientation"):
        np.testing.assert_array_equal(read_image(data).data, PIXELS)
    np.testing.assert_array_equal(read_image(data, upright=True).data, np.rot90(PIXELS, -1))


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture at all")
    with pytest.raises(EspdlError, match=r"text.jpg: this is no picture"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(EspdlError, match=r"none.jpg: the picture cannot be read \(No such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(EspdlError, match="the picture cannot be read"):
        read_image(tmp_path)
    with pytest.raises(EspdlError, match="this is no picture"):
        read_image(b"")


def test_a_huge_picture_takes_no_memory() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for width, height in ((60000, 60000), (20000, 5000), (70000, 1)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        with pytest.raises(EspdlError, match="too large"):
            read_image(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


JPEG = sw_encode_jpeg(smooth())


@given(st.integers(0, len(JPEG) - 1))
def test_a_jpeg_that_is_cut_off(length: int) -> None:
    try:
        got = read_image(JPEG[:length])
    except EspdlError:
        return
    assert (got.width, got.height) == (32, 24)
    assert length >= len(JPEG) - 2  # only the end mark is missing


@given(st.integers(0, len(JPEG) - 1), st.integers(0, 255))
def test_a_jpeg_with_a_wrong_byte(place: int, value: int) -> None:
    data = bytearray(JPEG)
    data[place] = value
    with contextlib.suppress(EspdlError):  # anything else would be a crash
        assert read_image(bytes(data)).pix_type is PixelType.RGB888


def test_jpeg_there_and_back(tmp_path: Path) -> None:
    image = smooth()
    write_jpeg(image, tmp_path / "a.jpg")
    back = read_jpeg(tmp_path / "a.jpg")
    assert np.abs(back.data.astype(int) - image.data).max() < 16
    with pillow.open(tmp_path / "a.jpg") as opened:
        assert opened.layer[0][1:3] == (2, 2)  # type: ignore[attr-defined]  # colours at half the size
    gray = image.convert(PixelType.GRAY)
    write_jpeg(gray, tmp_path / "g.jpg", quality=95)
    assert np.abs(read_jpeg(tmp_path / "g.jpg").data.astype(int) - gray.data).max() < 6


@pytest.mark.parametrize("pix_type", [PixelType.RGB565LE, PixelType.RGB565BE])
def test_jpeg_decodes_to_565(pix_type: PixelType) -> None:
    assert sw_decode_jpeg(JPEG, pix_type).tobytes() == sw_decode_jpeg(JPEG).convert(pix_type).tobytes()


def test_jpeg_and_yuv() -> None:
    frame = sw_decode_jpeg(sw_encode_jpeg(smooth(), 100), PixelType.UYVY)
    assert frame.pix_type is PixelType.UYVY
    assert np.abs(frame.convert(PixelType.RGB888).data.astype(int) - smooth().data).max() < 8
    again = sw_decode_jpeg(sw_encode_jpeg(frame, 100), PixelType.UYVY)
    assert np.abs(again.data.astype(int) - frame.data).max() < 6
    with pytest.raises(EspdlError, match="cannot be 31 pixels wide"):
        sw_decode_jpeg(sw_encode_jpeg(smooth(31)), PixelType.UYVY)


def test_jpeg_refusals(tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match="is not decoded to BGR888"):
        sw_decode_jpeg(JPEG, PixelType.BGR888)
    with pytest.raises(EspdlError, match="this is no JPEG, but PNG"):
        sw_decode_jpeg(encoded(pillow.fromarray(PIXELS), "PNG"))
    with pytest.raises(EspdlError, match="does not convert HSV to RGB888"):
        sw_encode_jpeg(smooth().convert(PixelType.HSV))
    with pytest.raises(EspdlError, match="a quality of 0"):
        sw_encode_jpeg(smooth(), 0)
    with pytest.raises(EspdlError, match=r"none.jpg: the file cannot be read"):
        read_jpeg(tmp_path / "none.jpg")
    (tmp_path / "cut.jpg").write_bytes(JPEG[:100])
    with pytest.raises(EspdlError, match=r"cut.jpg: "):
        read_jpeg(tmp_path / "cut.jpg")


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("pix_type", [PixelType.GRAY, PixelType.BGR888, PixelType.RGB888, PixelType.RGB565LE])
def test_bmp_there_and_back(tmp_path: Path, width: int, pix_type: PixelType) -> None:
    image = Image(oracle.random_pixels(width, width, 3, pix_type), pix_type)
    write_bmp(image, tmp_path / "a.bmp")
    back = read_bmp(tmp_path / "a.bmp")
    wanted = image if pix_type is PixelType.GRAY else image.convert(PixelType.BGR888)
    assert back.pix_type is wanted.pix_type
    np.testing.assert_array_equal(back.data, wanted.data)
    seen = np.asarray(pillow.open(tmp_path / "a.bmp").convert("RGB"))
    np.testing.assert_array_equal(seen, np.broadcast_to(wanted.data[..., ::-1], seen.shape))


def test_bmp_of_other_programs() -> None:
    picture = pillow.fromarray(PIXELS)
    np.testing.assert_array_equal(decode_bmp(encoded(picture, "BMP")).data, PIXELS[..., ::-1])
    gray = picture.convert("L")
    np.testing.assert_array_equal(decode_bmp(encoded(gray, "BMP")).data[..., 0], np.asarray(gray))
    for other, complaint in (("P", "palette of colours"), ("1", "1 bits a pixel"), ("RGBA", "32 bits a pixel")):
        with pytest.raises(EspdlError, match=complaint):
            decode_bmp(encoded(picture.convert(other), "BMP"))


BMP = encode_bmp(Image(PIXELS))


@given(st.integers(0, len(BMP) - 1))
def test_a_bmp_that_is_cut_off(length: int) -> None:
    with pytest.raises(EspdlError, match=r"no BMP|cut off"):
        decode_bmp(BMP[:length])


@given(st.integers(0, 53), st.integers(0, 255))
def test_a_bmp_with_a_wrong_header(place: int, value: int) -> None:
    data = bytearray(BMP)
    data[place] = value
    with contextlib.suppress(EspdlError):  # anything else would be a crash
        assert decode_bmp(bytes(data)).pix_type in (PixelType.BGR888, PixelType.GRAY)


def test_images_from_memory() -> None:
    frame = bytes(range(24))
    image = Image.from_bytes(frame, 4, 3, PixelType.RGB565BE)
    assert image.tobytes() == frame
    assert repr(image) == "Image(4 x 3, RGB565BE)"
    with pytest.raises(EspdlError, match="24 bytes are given, RGB888 of 4 x 3 has 36"):
        Image.from_bytes(frame, 4, 3, PixelType.RGB888)
    with pytest.raises(EspdlError, match="is no YUYV image"):
        Image(PIXELS, PixelType.YUYV)


def test_names_of_pixel_types() -> None:
    assert PixelType.of("DL_IMAGE_PIX_TYPE_RGB565LE") is PixelType.of("rgb565le") is PixelType.of(9) is PixelType.RGB565LE
    for name in ("RGB", 17):
        with pytest.raises(EspdlError, match="there is no pixel type"):
            PixelType.of(name)
    sizes = {0: 3, 1: 3, 2: 6, 3: 3, 6: 1, 7: 1, 8: 2, 9: 2, 12: 2, 13: 3, 14: 1, 15: 2, 16: 2}
    assert {number: PixelType(number).bytes_per_pixel for number in sizes} == sizes
