"""Picking the pixels of a resized image out of a picture."""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.vision.image.color import Bytes
from espdl.vision.image.geometry import Crop, Geometry, axis_map
from espdl.vision.image.picture import Image
from espdl.vision.image.pixel import Kind, PixelType
from espdl.vision.image.yuv import yuv_bytes


class Resampling(enum.Enum):
    """How a picture is brought to another size.

    NEAREST is what a chip does (runtime spec 7.3). BILINEAR mixes the four nearest pixels, the centres of the pixels on each other, as the
    chip's OCR component does (7.11). ANTIALIASED is Pillow's ``BILINEAR``, which mixes all pixels that become one, as pictures usually
    are prepared on a PC.
    """

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    ANTIALIASED = "antialiased"

    @classmethod
    def _missing_(cls, value: object) -> Resampling:
        raise EspdlError(f"there is no resampling {value!r}", hint="known are " + ", ".join(known.value for known in cls))


def pick(image: Image, geometry: Geometry, target: PixelType) -> tuple[Bytes, PixelType]:
    """The nearest pixel for each of the active area: [height, width, elements], and the type it has.

    Colours are picked in the order of ``target`` where that is the only difference; YUV pixels come as [..., 3] with Y, U and V.
    """
    source = image.pix_type
    crop = geometry.crop
    if source.kind is not Kind.YUV and not geometry.is_scaled:
        return image.data[crop.y1 : crop.y2, crop.x1 : crop.x2], source
    start = crop.x1 - crop.x1 % 2 if source.kind is Kind.YUV else crop.x1
    end = crop.x2 + crop.x2 % 2 if source.kind is Kind.YUV else crop.x2
    rows = axis_map(geometry.inv_scale_y, geometry.active_height, crop.y1, crop.y2)
    columns = axis_map(geometry.inv_scale_x, geometry.active_width, crop.x1, crop.x2) - start
    offsets, picked_type = _offsets(columns, source, target)
    lines = image.data[:, start:end][rows]
    return lines.reshape(len(rows), -1).take(offsets, axis=1), picked_type


def _offsets(columns: NDArray[np.intp], source: PixelType, target: PixelType) -> tuple[NDArray[np.intp], PixelType]:
    """Offsets in a row of the elements of the pixels in ``columns``, and the type of the pixels that they make."""
    if source.kind is Kind.YUV:
        return yuv_bytes(columns, source), source
    order = np.arange(source.elements)
    if source.kind is target.kind is Kind.COLOR and source.is_blue_first != target.is_blue_first:
        order, source = order[::-1], target
    return columns[:, np.newaxis] * source.elements + order, source


def pick_warped(
    image: Image, crop: Crop, xs: NDArray[np.int64], ys: NDArray[np.int64]
) -> tuple[Bytes, PixelType, NDArray[np.bool_]]:
    """The pixels of ``crop`` at (xs, ys) of it: [height, width, elements], their type, and which of them lie inside."""
    inside = (xs >= 0) & (xs < crop.width) & (ys >= 0) & (ys < crop.height)
    columns = np.where(inside, xs, 0).astype(np.intp) + crop.x1
    rows = np.where(inside, ys, 0).astype(np.intp) + crop.y1
    if image.pix_type.kind is Kind.YUV:
        offsets = yuv_bytes(columns, image.pix_type) + (rows * (2 * image.width))[..., np.newaxis]
        return image.data.reshape(-1).take(offsets), image.pix_type, inside
    return image.data[rows, columns], image.pix_type, inside


def resize_smoothly(pixels: Bytes, width: int, height: int, resampling: Resampling) -> Bytes:
    """uint8 [h, w, channels] brought to [height, width, channels], BILINEAR or ANTIALIASED."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return (_antialiased if resampling is Resampling.ANTIALIASED else resize_bilinear)(pixels, width, height)


def _antialiased(pixels: Bytes, width: int, height: int) -> Bytes:
    from PIL import Image as pillow

    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    picture = pillow.fromarray(np.ascontiguousarray(flat)).resize((width, height), pillow.Resampling.BILINEAR)
    return np.asarray(picture).reshape(height, width, pixels.shape[2])


def resize_bilinear(pixels: Bytes, width: int, height: int) -> Bytes:
    """uint8 [h, w, channels] to [height, width, channels]: each pixel from the four nearest, in binary32, rounded half up (7.11).

    A pixel's centre lies at half a pixel: ``source = (i + 0.5) * old / new - 0.5``, clamped to the picture.
    """
    old_height, old_width, channels = pixels.shape
    top, bottom, down = _neighbours(old_height, height)
    left, right, along = _neighbours(old_width, width)
    needed, places = np.unique(np.concatenate((top, bottom)), return_inverse=True)
    lines = pixels[needed].reshape(len(needed), old_width * channels)
    elements = np.arange(channels)
    along = np.repeat(along, channels)
    mixed = _taken(lines, left, elements) * (1 - along)
    mixed += _taken(lines, right, elements) * along
    down = down[:, np.newaxis]
    value = mixed[places[:height]] * (1 - down)
    value += mixed[places[height:]] * down
    value += np.float32(0.5)
    return value.astype(np.uint8).reshape(height, width, channels)  # a mean of bytes: 0.5 to 255.5


def _taken(lines: Bytes, columns: NDArray[np.intp], elements: NDArray[np.intp]) -> NDArray[np.float32]:
    """The elements of the pixels in ``columns`` of flat rows."""
    return lines.take((columns[:, np.newaxis] * len(elements) + elements).reshape(-1), axis=1).astype(np.float32)


def _neighbours(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The two source positions of each of ``new`` pixels of an axis, and the weight of the second."""
    scale = np.float32(old) / np.float32(new)
    positions = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    positions = np.clip(positions, 0, old - 1).astype(np.float32)
    first = positions.astype(np.intp)
    return first, np.minimum(first + 1, old - 1), positions - first.astype(np.float32)
