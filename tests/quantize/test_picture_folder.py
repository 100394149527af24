"""A folder of pictures as batches: the usual resize, crop and normalise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from espdl import PictureFolder
from espdl.errors import EspdlError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index, (height, width) in enumerate([(40, 60), (61, 40), (40, 40)]):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / f"{index}.png")
    return tmp_path


def test_the_middle_of_a_resized_picture_is_cut_out(folder: Path) -> None:
    pictures = PictureFolder(folder, [1, 3, 16, 12], mean=MEAN, std=STD, resize=20)
    assert len(pictures) == 3
    sizes_and_corners = [((30, 20), (9, 2)), ((20, 30), (4, 7)), ((20, 20), (4, 2))]
    for _ in range(2):
        for index, (batch, (size, (left, top))) in enumerate(zip(pictures, sizes_and_corners, strict=True)):
            pixels = np.asarray(Image.open(folder / f"{index}.png").resize(size, Image.Resampling.BILINEAR), np.float32)
            expected = (pixels[top : top + 16, left : left + 12] / 255 - np.float32(MEAN)) / np.float32(STD)
            assert batch.dtype == np.float32
            np.testing.assert_allclose(batch, expected.transpose(2, 0, 1)[np.newaxis], rtol=1e-6)


def test_without_resize_the_whole_picture_is_brought_to_size(folder: Path) -> None:
    batch = next(iter(PictureFolder(folder, [1, 3, 16, 16])))
    pixels = np.asarray(Image.open(folder / "0.png").resize((16, 16), Image.Resampling.BILINEAR), np.float32)
    np.testing.assert_allclose(batch[0], pixels.transpose(2, 0, 1) / 255, rtol=1e-6)
    (limited,) = PictureFolder(folder, [1, 3, 16, 16], mean=0.5, std=0.5, limit=1)
    np.testing.assert_allclose(limited[0], pixels.transpose(2, 0, 1) / 255 * 2 - 1, atol=1e-6)


def test_what_does_not_fit_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match=r"smaller than the network's 32 x 32(.|\n)*resize to 32"):
        next(iter(PictureFolder(folder, [1, 3, 32, 32], resize=20)))
    with pytest.raises(EspdlError, match="cannot be resized to 0"):
        PictureFolder(folder, [1, 3, 32, 32], resize=0)
    with pytest.raises(EspdlError, match="there is no such folder"):
        PictureFolder(tmp_path / "nowhere", [1, 3, 8, 8])
    with pytest.raises(EspdlError, match="takes no pictures"):
        PictureFolder(folder, [1, 10])
