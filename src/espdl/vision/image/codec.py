"""Pictures in: files, bytes, Pillow pictures and arrays become images."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.vision.image.picture import LARGEST_SIDE, Image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Source: TypeAlias = "Image | PillowImage | NDArray[np.uint8] | bytes | bytearray | str | os.PathLike[str]"
"""What stands for a picture: an Image, a Pillow picture, uint8 pixels, the content of a picture file, or its path."""

_ORIENTATION = 0x0112


def read_image(source: Source, *, upright: bool = False) -> Image:
    """A picture as RGB888; images and gray arrays stay what they are.

    Args:
        source: what stands for a picture.
        upright: turn pictures that say (in EXIF) how they were taken. A chip does not, and so they are not by default; a warning tells.

    Raises:
        EspdlError: for what is no picture or is cut off, has more than 8 bits a channel, or is larger than a chip's images can be.
    """
    if isinstance(source, Image):
        return source
    if isinstance(source, np.ndarray):
        return Image.from_array(source)
    from PIL import Image as pillow

    if isinstance(source, pillow.Image):
        return _from_pillow(source, "", upright)
    where = "" if isinstance(source, (bytes, bytearray)) else os.fspath(source)
    try:
        with open_picture(source) as opened:
            return _from_pillow(opened, where, upright)
    except EspdlError as error:
        raise (error.at(where) if where else error) from None


@contextmanager
def open_picture(source: bytes | bytearray | str | os.PathLike[str]) -> Iterator[PillowImage]:
    """The content of a picture file, or its path, as a Pillow picture whose pixels are decoded when they are asked for.

    Raises:
        EspdlError: when it is no picture, is cut off, or is larger than a chip's images can be; decoding inside the body counts.
    """
    from PIL import Image as pillow
    from PIL import UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            opened = pillow.open(io.BytesIO(source) if isinstance(source, (bytes, bytearray)) else source)
        with opened:
            if max(opened.size) > LARGEST_SIDE:
                raise EspdlError(
                    f"a picture of {opened.width} x {opened.height} is too large", why=f"sides have at most {LARGEST_SIDE}"
                )
            yield opened
    except UnidentifiedImageError:
        raise EspdlError("this is no picture", why="its format is not known") from None
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
        raise EspdlError("the picture is too large", why=str(error)) from None
    except (OSError, ValueError, SyntaxError, TypeError, IndexError, EOFError, struct.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EspdlError("the picture cannot be read", why=why) from None


def _from_pillow(picture: PillowImage, where: str, upright: bool) -> Image:
    orientation = picture.getexif().get(_ORIENTATION, 1)
    if orientation not in range(1, 9) or orientation == 1:
        return Image.from_pil(picture)
    if not upright:
        warnings.warn(f"{where or 'a picture'} is turned by its EXIF orientation, which a chip does not look at", stacklevel=3)
        return Image.from_pil(picture)
    from PIL import ImageOps

    return Image.from_pil(ImageOps.exif_transpose(picture))
