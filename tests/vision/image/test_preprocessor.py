"""From pictures to model inputs: the letterbox rule, options, and the inputs of the golden runs."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as pillow

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.vision.image import Border, Image, ImagePreprocessor, PixelType, letterbox, read_image
from tests.models import node_file
from tests.vision.image import oracle


def model_for(
    width: int, height: int, channels: int = 3, dtype: Any = np.int8, exponent: int = -7, target: str = "esp32s3"
) -> Model:
    """A model that takes pictures of that size."""
    value = ((1, height, width, channels), dtype, exponent)
    return Model(node_file("Relu", [value], [value], metadata={"target": target}))


@pytest.mark.parametrize(
    ("source", "target", "border"),
    [
        ((640, 480), (320, 320), (40, 40, 0, 0)),
        ((405, 540), (320, 320), (0, 0, 40, 40)),
        ((100, 100), (7, 5), (0, 0, 1, 1)),
        ((100, 99), (5, 5), (0, 1, 0, 0)),
        ((5, 5), (5, 5), (0, 0, 0, 0)),
        ((1, 1), (9, 4), (0, 0, 2, 3)),
    ],
)
def test_letterbox(source: tuple[int, int], target: tuple[int, int], border: tuple[int, ...]) -> None:
    assert letterbox(source, target) == border


@given(*[st.integers(1, 5000) for _ in range(2)], *[st.integers(1, 700) for _ in range(2)])
def test_letterbox_in_binary32(width: int, height: int, new_width: int, new_height: int) -> None:
    scale_x, scale_y = np.float32(new_width) / np.float32(width), np.float32(new_height) / np.float32(height)
    horizontal = scale_x < scale_y
    shown = int(scale_x * np.float32(height)) if horizontal else int(scale_y * np.float32(width))
    pad = (new_height if horizontal else new_width) - shown
    if shown < 1:
        with pytest.raises(EspdlError, match="nothing would be left of its shorter side"):
            letterbox((width, height), (new_width, new_height))
        return
    sides = (pad // 2, pad - pad // 2)
    assert letterbox((width, height), (new_width, new_height)) == ((*sides, 0, 0) if horizontal else (0, 0, *sides))


def test_letterboxed_pictures_keep_their_proportions() -> None:
    model = model_for(8, 8)
    preprocessor = ImagePreprocessor(model, 0, 128).enable_letterbox((4, 8, 16))
    tensor = preprocessor.preprocess(np.full((2, 4, 3), 100, np.uint8))
    assert tensor is model.get_input()
    assert (tensor.data[0, 2:6] == 100).all()
    for row in (0, 1, 6, 7):
        assert tensor.data[0, row].tolist() == [[4, 8, 16]] * 8
    assert (preprocessor.get_border_top(), preprocessor.get_border_bottom()) == (2, 2)
    assert (preprocessor.get_border_left(), preprocessor.get_border_right()) == (0, 0)
    assert (preprocessor.get_resize_scale_x(), preprocessor.get_resize_scale_x(True)) == (2, 0.5)
    assert (preprocessor.get_resize_scale_y(), preprocessor.get_resize_scale_y(True)) == (2, 0.5)


def test_the_letterbox_follows_the_crop() -> None:
    preprocessor = ImagePreprocessor(model_for(8, 8), 0, 128).enable_letterbox(114)
    picture = np.zeros((10, 20, 3), np.uint8)
    preprocessor.preprocess(picture, (4, 2, 8, 10))
    assert preprocessor.geometry.border == (0, 0, 2, 2)
    assert (preprocessor.get_top_left_x(), preprocessor.get_top_left_y()) == (4, 2)
    preprocessor.preprocess(picture)
    assert preprocessor.geometry.border == (2, 2, 0, 0)


def test_mean_and_std_stand_in_the_order_of_the_models_channels() -> None:
    model = model_for(1, 1, exponent=0)
    pixel = np.array([[[10, 20, 30]]], np.uint8)
    assert ImagePreprocessor(model, (1, 2, 3), (1, 2, 3)).preprocess(pixel).data.reshape(-1).tolist() == [9, 9, 9]
    swapped = ImagePreprocessor(model, (1, 2, 3), (1, 2, 3), rgb_swap=True).preprocess(pixel)
    assert swapped.data.reshape(-1).tolist() == [29, 9, 2]  # blue 30 - 1, green (20 - 2) / 2, red (10 - 3) / 3


@pytest.mark.parametrize(("target", "ties"), [("esp32s3", [1, 2, 3]), ("esp32p4", [0, 2, 2])])
def test_ties_are_decided_as_on_the_chip(target: str, ties: list[int]) -> None:
    model = model_for(3, 1, 1, exponent=1, target=target)
    data = ImagePreprocessor(model, 0, 1).preprocess(np.array([[1, 3, 5]], np.uint8)).data
    assert data.reshape(-1).tolist() == ties


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("source", [PixelType.BGR565BE, PixelType.UYVY, PixelType.BGR888])
def test_a_camera_frame_of_any_type(source: PixelType, dtype: type) -> None:
    pixels = oracle.random_pixels(3, 8, 6, source)
    data = ImagePreprocessor(model_for(4, 3, dtype=dtype), 0, 255).preprocess(Image(pixels, source)).data[0]
    plain = ImagePreprocessor(model_for(4, 3, dtype=dtype), 0, 255)
    rgb = [[oracle.rgb_at(pixels, x, y, source) for x in range(8)] for y in range(6)]
    np.testing.assert_array_equal(data, plain.preprocess(np.array(rgb, np.uint8)).data[0])


def test_every_kind_of_picture_is_the_same_picture(tmp_path: Path) -> None:
    pixels = oracle.random_pixels(5, 9, 7, PixelType.RGB888)
    picture = pillow.fromarray(pixels)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    model = model_for(5, 5)
    preprocessor = ImagePreprocessor(model, 0, 255)
    wanted = preprocessor.preprocess(pixels).data.copy()
    for same in (picture, stream.getvalue(), tmp_path / "a.png", str(tmp_path / "a.png"), Image(pixels), pixels.copy("F")):
        np.testing.assert_array_equal(preprocessor.preprocess(same).data, wanted)


def test_a_gray_model_takes_colors_and_a_gray_picture() -> None:
    preprocessor = ImagePreprocessor(model_for(4, 4, 1), 0, 255)
    gray = oracle.random_pixels(6, 6, 6, PixelType.GRAY)
    wanted = preprocessor.preprocess(gray).data.copy()
    np.testing.assert_array_equal(preprocessor.preprocess(np.repeat(gray, 3, axis=2)).data, wanted)
    np.testing.assert_array_equal(preprocessor.preprocess(pillow.fromarray(gray[:, :, 0])).data, wanted)


def test_a_color_model_takes_no_gray_pixels() -> None:
    with pytest.raises(EspdlError, match="does not convert GRAY to RGB888"):
        ImagePreprocessor(model_for(4, 4), 0, 255).preprocess(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (65, 1), (333, 217)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    data = ImagePreprocessor(model_for(5, 3), 0, 255).preprocess(np.full((*size, 3), 254, np.uint8)).data
    assert (data == 127).all()


def test_a_border_of_its_own() -> None:
    preprocessor = ImagePreprocessor(model_for(4, 3), 0, 128)
    data = preprocessor.preprocess(np.full((9, 9, 3), 100, np.uint8), border=Border(bottom=1, right=2)).data[0]
    assert (data[:2, :2] == 100).all()
    assert not data[2:].any() and not data[:, 2:].any()
    with pytest.raises(EspdlError, match="a border and a warp do not go together"):
        preprocessor.preprocess(np.zeros((9, 9, 3), np.uint8), border=Border(), matrix=np.eye(2, 3), inv=True)


def test_a_crop_of_one_pixel() -> None:
    pixels = oracle.random_pixels(7, 9, 9, PixelType.RGB888) // 2
    data = ImagePreprocessor(model_for(5, 3), 0, 128).preprocess(pixels, (4, 6, 5, 7)).data
    assert (data[0] == pixels[6, 4]).all()


def test_warping() -> None:
    pixels = oracle.random_pixels(8, 9, 9, PixelType.RGB888) // 2
    preprocessor = ImagePreprocessor(model_for(4, 4), 0, 128)
    data = preprocessor.preprocess(pixels, matrix=[[1, 0, 2], [0, 1, 3]], inv=True).data[0]
    np.testing.assert_array_equal(data, pixels[3:7, 2:6])
    chip = preprocessor.preprocess(pixels, matrix=[[1, 0, -2], [0, 1, -3]]).data[0]
    np.testing.assert_array_equal(chip, data)
    with pytest.warns(UserWarning, match="inverts this matrix with a wrong translation"):
        preprocessor.preprocess(pixels, matrix=[[0.5, 0, -2], [0, 0.5, -3]])
    np.testing.assert_array_equal(
        preprocessor.preprocess(pixels, matrix=[[2, 0, 1], [0, 2, 1.5]], inv=True).data[0, 0, 0], pixels[2, 1]
    )


@pytest.mark.parametrize(
    ("shape", "mean", "options", "complaint"),
    [
        ((1, 4, 4, 2), 0, {}, "takes no pictures"),
        ((1, 4, 4), 0, {}, "takes no pictures"),
        ((1, 4, 4, 3), (1, 2), {}, "2 numbers are given as mean"),
        ((1, 4, 4, 3), math.nan, {}, "a mean of nan"),
        ((1, 4, 4, 1), 0, {"rgb_swap": True}, "has one channel"),
        ((1, 4, 4, 3), 0, {"input_name": "other"}, "other"),
        ((1, 4, 4, 3), 0, {"resampling": "cubic"}, "there is no resampling 'cubic'"),
    ],
)
def test_models_and_numbers_that_do_not_fit(
    shape: tuple[int, ...], mean: float | Sequence[float], options: dict[str, Any], complaint: str
) -> None:
    model = Model(node_file("Relu", [(shape, np.int8, -7)], [(shape, np.int8, -7)], metadata={"target": "c"}))
    with pytest.raises(EspdlError, match=complaint):
        ImagePreprocessor(model, mean, 1, **options)


def test_a_std_of_zero() -> None:
    with pytest.raises(EspdlError, match="a std of 0"):
        ImagePreprocessor(model_for(4, 4), 0, 0)


def test_geometry_is_known_after_the_first_picture() -> None:
    with pytest.raises(EspdlError, match="no picture has been preprocessed"):
        ImagePreprocessor(model_for(4, 4), 0, 1).get_resize_scale_x()


GOLDEN = (
    "p4_coco_detect_yolo11n_320_s8_v1",
    "p4_coco_seg_yolo11n_seg_s8_v1",
    "p4_espdet_pico_224_224_face",
    "p4_human_face_detect_mnp_s8_v1",
    "p4_human_face_detect_msr_s8_v1",
    "p4_imagenet_cls_mobilenetv2_s8_v1",
    "p4_mobilenetv2_0_5_128_128_gesture",
    "p4_pp_ocr_v6_det_s8",
    "p4_pp_ocr_v6_rec_s16",
    "p4_pp_ocr_v6_rec_s8",
    "p4_yolo26n_512_s8_p4",
    "s3_coco_detect_yolo11n_320_s8_v1",
    "s3_coco_pose_yolo11n_pose_s8_v2",
    "s3_espdet_pico_224_224_face",
    "s3_human_face_detect_mnp_s8_v1",
    "s3_human_face_detect_msr_s8_v1",
    "s3_imagenet_cls_mobilenetv2_s8_v1",
    "s3_pedestrian_detect_pico_s8_v1",
)
TARGETS = {"p4": "esp32p4", "s3": "esp32s3"}
REAL_CROPS = {"human_face_detect_mnp": (80, 59, 216, 194), "pp_ocr_v6_rec": (32, 350, 386, 389)}
"""Where the crop that ``meta`` tells was cut to whole pixels and the picture's was rounded."""

LETTERBOX, TOP_LEFT = 1, 2


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_inputs(conformance: Path, name: str) -> None:
    golden = np.load(conformance / f"golden/{name}_image.npz")
    meta = json.loads(str(golden["meta"]))
    asked, spec = meta["prep"], meta["inputs"][0]
    _, height, width, channels = spec["shape"]
    model = model_for(width, height, channels, np.dtype(spec["dtype"]), spec["exponent"], TARGETS[name[:2]])
    preprocessor = ImagePreprocessor(model, asked["mean"], asked["std"], rgb_swap=bool(asked["bgr"]), resampling="antialiased")
    photo = read_image(conformance / "vision" / Path(asked["image"]).name)
    border = None
    if asked["letterbox"] == LETTERBOX:
        preprocessor.enable_letterbox(114)
        _, left, top = asked["lb"]
        assert letterbox((photo.width, photo.height), (width, height))[::2] == (top, left)
    elif asked["letterbox"] == TOP_LEFT:
        scale = asked["lb"][0]
        border = Border(bottom=height - round(photo.height * scale), right=width - round(photo.width * scale))
    crop = next((real for part, real in REAL_CROPS.items() if part in name), asked["crop"])
    data = preprocessor.preprocess(photo, crop, border=border).data
    np.testing.assert_array_equal(data, golden[f"in:{spec['name']}"])
