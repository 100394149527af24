"""Pictures in: files, bytes, Pillow pictures and arrays become images."""

from __future__ import annotations

import io
import os
import warnings
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
    from PIL import UnidentifiedImageError

    if isinstance(source, pillow.Image):
        return _from_pillow(source, "", upright)
    where = "" if isinstance(source, (bytes, bytearray)) else os.fspath(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            stream = io.BytesIO(source) if isinstance(source, (bytes, bytearray)) else source
            with pillow.open(stream) as opened:
                if max(opened.size) > LARGEST_SIDE:
                    raise EspdlError(f"a picture of {opened.width} x {opened.height} is too large for a chip", where=where)
                opened.load()
                return _from_pillow(opened, where, upright)
    except UnidentifiedImageError:
        raise EspdlError("this is no picture", where=where, why="its format is not known") from None
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
        raise EspdlError("the picture is too large", where=where, why=str(error)) from None
    except (OSError, ValueError, SyntaxError, TypeError, IndexError, EOFError) as error:
        raise EspdlError("the picture cannot be read", where=where, why=str(error)) from None


def _from_pillow(picture: PillowImage, where: str, upright: bool) -> Image:
    orientation = picture.getexif().get(_ORIENTATION, 1)
    if orientation != 1:
        if upright:
            from PIL import ImageOps

            picture = ImageOps.exif_transpose(picture)
        else:
            warnings.warn(
                f"{where or 'a picture'}: is turned by its EXIF orientation, which a chip does not look at", stacklevel=3
            )
    try:
        return Image.from_pil(picture)
    except EspdlError as error:
        raise (error.at(where) if where else error) from None
