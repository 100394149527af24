"""``Image``: pixels in memory as the chip holds them (``img_t`` of runtime spec 7.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.errors import EspdlError
from espdl.vision.image.pixel import PixelType

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

LARGEST_SIDE = 65535
"""Width and height are 16-bit numbers on the chip."""


@dataclass(frozen=True, eq=False)
class Image:
    """A picture: dense rows of pixels of one type.

    Attributes:
        data: [height, width, elements]: RGB888 and its like hold 3 uint8 a pixel, GRAY 1; 565 and YUV types hold the 2 bytes of a pixel
            in the order of memory; quantized types hold int8 or int16.
        pix_type: what they are.

    Raises:
        EspdlError: when ``data`` does not have the shape and type of such pixels, or a side is 0 or above 65535.
    """

    data: NDArray
    pix_type: PixelType = PixelType.RGB888

    def __post_init__(self) -> None:
        wanted = self.pix_type
        if self.data.ndim != 3 or self.data.shape[2] != wanted.elements or self.data.dtype != wanted.dtype:
            raise EspdlError(
                f"an array of {self.data.dtype} {list(self.data.shape)} is no {wanted.name} image",
                why=f"that is {wanted.dtype} [height, width, {wanted.elements}]",
            )
        for side, size in (("width", self.width), ("height", self.height)):
            if not 1 <= size <= LARGEST_SIDE:
                raise EspdlError(f"an image cannot have a {side} of {size}", why=f"a chip's images have 1 to {LARGEST_SIDE}")

    @property
    def width(self) -> int:
        return self.data.shape[1]

    @property
    def height(self) -> int:
        return self.data.shape[0]

    @classmethod
    def from_array(cls, array: ArrayLike, pix_type: PixelType | None = None) -> Image:
        """An image of ``array``, which is not copied.

        Args:
            array: [height, width, elements], or [height, width] where a pixel has one element.
            pix_type: None takes RGB888 for three uint8 a pixel and GRAY for one.

        Raises:
            EspdlError: when the array holds no such pixels.
        """
        pixels = np.asarray(array)
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        if pix_type is None:
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
                raise EspdlError(
                    f"an array of {pixels.dtype} {list(np.shape(array))} is no picture",
                    why="a picture is uint8 [height, width, 3] in RGB order, or [height, width]",
                    hint="name the pixel type, or convert the values to 0..255 in uint8",
                )
            pix_type = PixelType.RGB888 if pixels.shape[2] == 3 else PixelType.GRAY
        return cls(pixels, pix_type)

    @classmethod
    def from_bytes(cls, data: bytes, width: int, height: int, pix_type: PixelType) -> Image:
        """The image that lies in ``data``, a camera's frame for instance: dense rows, from the top.

        Raises:
            EspdlError: when ``data`` is not as long as that.
        """
        wanted = width * height * pix_type.bytes_per_pixel
        if len(data) != wanted:
            raise EspdlError(f"{len(data)} bytes are given, {pix_type.name} of {width} x {height} has {wanted}")
        return cls(np.frombuffer(data, pix_type.dtype).reshape(height, width, pix_type.elements), pix_type)

    @classmethod
    def from_pil(cls, picture: PillowImage) -> Image:
        """A Pillow picture as RGB888, whatever its colours are. Transparency is dropped.

        Raises:
            EspdlError: for more than 8 bits a channel.
        """
        if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
            raise EspdlError(
                f"pictures of mode {picture.mode} are not taken", why="they have more than 8 bits a pixel", hint="scale to 0..255"
            )
        return cls.from_array(np.array(picture.convert("RGB")))

    def to_pil(self) -> PillowImage:
        """A Pillow picture: of mode L for gray images and masks, else RGB. Raises :class:`EspdlError` for quantized and HSV images."""
        from PIL import Image as pillow

        if self.pix_type in (PixelType.GRAY, PixelType.HSV_MASK):
            return pillow.fromarray(self.data[:, :, 0])
        return pillow.fromarray(np.ascontiguousarray(self.convert(PixelType.RGB888).data))

    def convert(self, pix_type: PixelType) -> Image:
        """The same picture in another type. Raises :class:`EspdlError` for a pair that the chip does not convert (spec 7.1)."""
        from espdl.vision.image.convert import convert

        return convert(self, pix_type)

    def copy(self) -> Image:
        """The same picture in memory of its own, to draw on."""
        return Image(self.data.copy(), self.pix_type)

    def tobytes(self) -> bytes:
        """The pixels as they lie in a chip's memory."""
        return self.data.tobytes()

    def __repr__(self) -> str:
        return f"Image({self.width} x {self.height}, {self.pix_type.name})"
