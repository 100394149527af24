"""``ImagePreprocessor``: from a picture to a model's input, as the chip does it (runtime spec 7.4)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from espdl.vision.image.codec import Source, read_image
from espdl.vision.image.geometry import (
    NO_BORDER,
    Border,
    Crop,
    Geometry,
    affine_matrix,
    checked_crop,
    invert_affine,
    invert_affine_as_chip,
    letterbox,
)
from espdl.vision.image.normquant import NormQuant, per_channel
from espdl.vision.image.pixel import PixelType, quantized
from espdl.vision.image.resample import Resampling
from espdl.vision.image.transformer import Background, ImageTransformer


class ImagePreprocessor:
    """Crops, resizes, converts, normalises and quantizes pictures straight into the input of a model.

    Args:
        model: whose input is int8 or int16 [1, height, width, channels] with 3 channels or 1.
        mean, std: of pixels in 0..255, one number for all channels or one each, in the order of the model's channels: with
            ``rgb_swap`` the first is blue's.
        rgb_swap: the model takes blue first.
        input_name: which input; the alphabetically first one when empty.
        resampling: how pictures are resized. A chip does NEAREST, the default.

    Raises:
        EspdlError: for a model that takes no pictures, and numbers that do not fit its channels.
    """

    def __init__(
        self,
        model: Model,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        rgb_swap: bool = False,
        input_name: str = "",
        *,
        resampling: Resampling | str = Resampling.NEAREST,
    ) -> None:
        self._model, self._input_name = model, input_name
        tensor = model.get_input(input_name)
        height, width, channels = _picture_axes(tensor)
        if channels == 1 and rgb_swap:
            raise EspdlError("rgb_swap is for models that take colours", why="this one's input has one channel")
        norm = NormQuant(
            per_channel(mean, channels, "mean"),
            per_channel(std, channels, "std"),
            int(tensor.exponent),
            tensor.dtype.numpy,
            model.chip.rounding,
        )
        plain = PixelType.GRAY if channels == 1 else PixelType.BGR888 if rgb_swap else PixelType.RGB888
        self._transformer = ImageTransformer(
            width, height, quantized(plain, norm.dtype), norm=norm, resampling=Resampling(resampling)
        )
        self._letterbox = False
        self._geometry: Geometry | None = None

    @property
    def transformer(self) -> ImageTransformer:
        """What does the work, with the size and type of the model's input."""
        return self._transformer

    def enable_letterbox(self, background: Background = 0) -> Self:
        """Keeps the proportions of pictures from now on; what they leave free is filled.

        Args:
            background: gray, or red, green and blue, 0 to 255.
        """
        old = self._transformer
        self._transformer = ImageTransformer(
            old.width, old.height, old.pix_type, norm=old.norm, background=background, resampling=old.resampling
        )
        self._letterbox = True
        return self

    def preprocess(
        self,
        image: Source,
        crop: Sequence[int] | None = None,
        *,
        border: Border | None = None,
        matrix: ArrayLike | None = None,
        inv: bool = False,
    ) -> TensorBase:
        """Fills the model's input with a picture; ``model.run()`` computes on it then.

        Args:
            image: an Image, a Pillow picture, uint8 pixels [height, width, 3] in RGB order or [height, width], the path of a picture file,
                or its bytes.
            crop: part of the picture, [x1, y1, x2, y2).
            border: background around the picture, in pixels of the model's input, in place of what letterboxing gives.
            matrix: of an affine warp, 2 x 3, which replaces resizing; letterboxing and borders do not go with it.
            inv: whether ``matrix`` leads from the model's input to the picture already. When False it is inverted as the chip does it, with
                a wrong translation; :func:`espdl.vision.image.invert_affine` inverts rightly.

        Returns:
            The model's input tensor. Running the model may overwrite it.

        Raises:
            EspdlError: for a picture that cannot be read, is of a type that the chip does not convert, or does not contain ``crop``.
        """
        picture = read_image(image)
        tensor = self._model.get_input(self._input_name)  # it may have moved since
        out = tensor.data[0]
        if matrix is not None:
            if border is not None:
                raise EspdlError("a border and a warp do not go together", hint="give the matrix that leaves the border free")
            _, self._geometry = self._transformer.transform(picture, crop, matrix=_inverse(matrix, inv), out=out)
            return tensor
        if border is None:
            border = self._letterboxed(checked_crop(crop, picture.width, picture.height))
        _, self._geometry = self._transformer.transform(picture, crop, border, out=out)
        return tensor

    def _letterboxed(self, part: Crop) -> Border:
        if not self._letterbox:
            return NO_BORDER
        return letterbox((part.width, part.height), (self._transformer.width, self._transformer.height))

    @property
    def geometry(self) -> Geometry:
        """Where the pixels of the last picture come from. Raises :class:`EspdlError` before the first."""
        if self._geometry is None:
            raise EspdlError("no picture has been preprocessed yet")
        return self._geometry

    def get_resize_scale_x(self, inv: bool = False) -> float:
        """Columns of the model's input for one of the picture; with ``inv`` the opposite."""
        return self.geometry.inv_scale_x if inv else self.geometry.scale_x

    def get_resize_scale_y(self, inv: bool = False) -> float:
        """Rows of the model's input for one of the picture; with ``inv`` the opposite."""
        return self.geometry.inv_scale_y if inv else self.geometry.scale_y

    def get_top_left_x(self) -> int:
        """The first column of the picture that was taken."""
        return self.geometry.crop.x1

    def get_top_left_y(self) -> int:
        """The first row of the picture that was taken."""
        return self.geometry.crop.y1

    def get_border_top(self) -> int:
        return self.geometry.border.top

    def get_border_bottom(self) -> int:
        return self.geometry.border.bottom

    def get_border_left(self) -> int:
        return self.geometry.border.left

    def get_border_right(self) -> int:
        return self.geometry.border.right


def _picture_axes(tensor: TensorBase) -> tuple[int, int, int]:
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        raise EspdlError(
            f"an input of shape {shape} takes no pictures", why="a picture is [1, height, width, channels] with 1 or 3 channels"
        )
    if tensor.dtype.numpy not in (np.dtype(np.int8), np.dtype(np.int16)):
        raise EspdlError(f"an input of {tensor.dtype.name} takes no quantized pictures", why="chips make int8 and int16")
    return shape[1], shape[2], shape[3]


def _inverse(matrix: ArrayLike, inv: bool) -> ArrayLike:
    if inv:
        return matrix
    inverse = invert_affine_as_chip(matrix)
    if affine_matrix(matrix)[:, :2].any() and not np.allclose(inverse, invert_affine(matrix), rtol=1e-4, atol=1e-3):
        warnings.warn(
            "the chip inverts this matrix with a wrong translation, which is done here too: give the inverse with inv=True",
            stacklevel=3,
        )
    return inverse
