"""``ImageTransformer``: crop, resize or warp, border, colours and quantizing in one pass (runtime spec 7.3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError
from espdl.vision.image.color import Bytes, HsvRange
from espdl.vision.image.convert import convert, convert_pixels, require_convertible
from espdl.vision.image.geometry import NO_BORDER, Border, Geometry, affine_matrix, place, warp_map
from espdl.vision.image.normquant import NormQuant
from espdl.vision.image.picture import LARGEST_SIDE, Image
from espdl.vision.image.pixel import Kind, PixelType
from espdl.vision.image.resample import Resampling, pick, pick_warped, resize_smoothly
from espdl.vision.image.yuv import require_even_width

Background = int | Sequence[int]
"""Gray, or red, green and blue, 0 to 255."""


class ImageTransformer:
    """Makes images of one size and type out of pictures of any.

    Args:
        width, height: of the images it makes.
        pix_type: their type.
        norm: mean, std and exponent; given for quantized types, and only for them.
        hsv_range: the colours that an HSV_MASK shows; given for that type, and only for it.
        background: colour of borders and of what a warp takes from outside the picture.
        resampling: how the size is changed; a chip does NEAREST.

    Raises:
        EspdlError: for parameters that do not fit ``pix_type``.
    """

    def __init__(
        self,
        width: int,
        height: int,
        pix_type: PixelType = PixelType.RGB888,
        *,
        norm: NormQuant | None = None,
        hsv_range: HsvRange | None = None,
        background: Background = 0,
        resampling: Resampling = Resampling.NEAREST,
    ) -> None:
        if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
            raise EspdlError(f"an image cannot be {width} x {height}", why=f"sides have 1 to {LARGEST_SIDE} pixels")
        if pix_type.is_quantized != (norm is not None):
            raise EspdlError(f"mean, std and exponent are for quantized images and only for them, this is {pix_type.name}")
        if norm is not None and (len(norm.mean) != pix_type.channels or norm.dtype != pix_type.dtype):
            raise EspdlError(f"{pix_type.name} has {pix_type.channels} channels of {pix_type.dtype}, norm is for others")
        if (pix_type is PixelType.HSV_MASK) != (hsv_range is not None):
            raise EspdlError(f"a range of colours is for HSV_MASK and only for it, this is {pix_type.name}")
        self.width = width
        self.height = height
        self.pix_type = pix_type
        self.norm = norm
        self.hsv_range = hsv_range
        self.background = _checked_background(background)
        self.resampling = resampling

    def transform(
        self,
        image: Image,
        crop: Sequence[int] | None = None,
        border: Border = NO_BORDER,
        matrix: ArrayLike | None = None,
        out: NDArray | None = None,
    ) -> tuple[Image, Geometry]:
        """One picture.

        Args:
            crop: part of the picture to take, [x1, y1, x2, y2).
            border: background around it.
            matrix: of an affine warp, 2 x 3, from the new image to the picture (to ``crop`` of it); replaces resizing.
            out: array [height, width, elements] to fill; None makes one.

        Returns:
            The image, and where its pixels come from.

        Raises:
            EspdlError: for types that the chip does not convert into each other, and a crop or border that does not fit.
        """
        plain = self.pix_type.plain
        require_convertible(image.pix_type, plain)
        if image.pix_type.kind is Kind.YUV:
            require_even_width(image)
        if image.data.shape[2] == 1 and isinstance(self.background, tuple):
            raise EspdlError(f"the background of {image.pix_type.name} pictures is one number", hint="give a gray of 0 to 255")
        geometry = place((image.width, image.height), (self.width, self.height), crop, border, matrix is not None)
        if plain.kind is Kind.YUV:
            pixels = self._repacked(image, geometry, matrix)
        elif matrix is None:
            pixels = self._resized(image, geometry)
        else:
            pixels = self._warped(image, geometry, affine_matrix(matrix))
        target = np.empty((self.height, self.width, plain.elements), self.pix_type.dtype) if out is None else out
        if target.shape != (self.height, self.width, plain.elements) or target.dtype != self.pix_type.dtype:
            raise EspdlError(
                f"{self.pix_type.name} of {self.width} x {self.height} does not fit into {target.dtype} {list(target.shape)}"
            )
        area = target[border.top : self.height - border.bottom, border.left : self.width - border.right]
        if area.shape != target.shape:
            target[...] = np.tile(self._finished(self._background_pixel(image.pix_type)), (self.width, 1))  # by rows: in one go
        area[...] = self._finished(pixels)
        return Image(target, self.pix_type), geometry

    def _finished(self, pixels: Bytes) -> NDArray:
        return pixels if self.norm is None else self.norm.apply(pixels)

    def _resized(self, image: Image, geometry: Geometry) -> Bytes:
        plain = self.pix_type.plain
        if self.resampling is Resampling.NEAREST or not geometry.is_scaled:
            pixels, found = pick(image, geometry, plain)
            return convert_pixels(pixels, found, plain, self.hsv_range)
        mixable = PixelType.GRAY if image.pix_type is PixelType.GRAY else PixelType.RGB888
        crop = geometry.crop
        if image.pix_type.kind is Kind.HSV:
            raise EspdlError("HSV pictures are resized to the nearest pixel only", why="hues cannot be mixed")
        part = convert(image, mixable).data[crop.y1 : crop.y2, crop.x1 : crop.x2]
        pixels = resize_smoothly(part, geometry.active_width, geometry.active_height, self.resampling)
        return convert_pixels(pixels, mixable, plain, self.hsv_range)

    def _warped(self, image: Image, geometry: Geometry, matrix: NDArray[np.float32]) -> Bytes:
        plain = self.pix_type.plain
        xs, ys = warp_map(matrix, geometry.active_width, geometry.active_height)
        pixels, found, inside = pick_warped(image, geometry.crop, xs, ys)
        converted = np.array(convert_pixels(pixels, found, plain, self.hsv_range))
        if not inside.all():
            converted[~inside] = self._background_pixel(image.pix_type)
        return converted

    def _repacked(self, image: Image, geometry: Geometry, matrix: ArrayLike | None) -> Bytes:
        """YUV to YUV: two pixels share their colour, which can be kept as it is but not be picked apart."""
        crop = geometry.crop
        if geometry.is_scaled or matrix is not None or any(geometry.border) or crop.x1 % 2 or crop.x2 % 2:
            raise EspdlError(
                f"{self.pix_type.name} images are made of YUV ones of the same size only", hint="make RGB888 to resize or warp"
            )
        return convert(image, self.pix_type).data[crop.y1 : crop.y2, crop.x1 : crop.x2]

    def _background_pixel(self, source: PixelType) -> Bytes:
        """The background as a pixel of the plain target type, converted like any other: [elements]."""
        if source.channels == 1:
            return convert_pixels(np.array([self.background], np.uint8), PixelType.GRAY, self.pix_type.plain)
        color = self.background if isinstance(self.background, tuple) else (self.background,) * 3
        return convert_pixels(np.array(color, np.uint8), PixelType.RGB888, self.pix_type.plain, self.hsv_range)


def _checked_background(background: Background) -> int | tuple[int, ...]:
    values = (background,) if isinstance(background, int) else tuple(background)
    if len(values) not in (1, 3) or not all(0 <= value <= 255 for value in values):
        raise EspdlError(f"{background!r} is no colour", hint="give one number or three, 0 to 255")
    return values[0] if len(values) == 1 else values
