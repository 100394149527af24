"""What is known of the picture hardware of chips that have a JPEG unit and a pixel processing accelerator (runtime spec 7.5).

Their scales, sizes and the pairs of types that they take are stated and done here. How they round is not published, so where pixels
would be mixed or decoded there is an error and no guess.
"""

from __future__ import annotations

import math

import numpy as np

from espdl.errors import EspdlError
from espdl.vision.image.codec import open_picture
from espdl.vision.image.picture import LARGEST_SIDE, Image
from espdl.vision.image.pixel import PixelType

SCALE_STEP = 1 / 16
LEAST_SCALE, SCALE_LIMIT = SCALE_STEP, 256

_FULL = frozenset({PixelType.RGB888, PixelType.BGR888})
_PAIRS = {
    **{source: _FULL | {PixelType.RGB565LE, PixelType.BGR565LE} for source in _FULL},
    **{source: {PixelType.BGR888, PixelType.RGB565LE} for source in (PixelType.RGB565LE, PixelType.RGB565BE)},
    **{source: {PixelType.RGB888, PixelType.BGR565LE} for source in (PixelType.BGR565LE, PixelType.BGR565BE)},
}


def ppa_scale(old: int, new: int) -> float:
    """The scale with which the accelerator makes ``new`` pixels of ``old``: rounded down to sixteenths, so that some may stay black.

    Raises:
        EspdlError: for lengths that no image has, and scales below 1/16 or of 256 and more.
    """
    for length in (old, new):
        if not 1 <= length <= LARGEST_SIDE:
            raise EspdlError(f"no image has a side of {length}", why=f"sides have 1 to {LARGEST_SIDE} pixels")
    scale = math.floor(new / old / SCALE_STEP) * SCALE_STEP
    if not LEAST_SCALE <= scale < SCALE_LIMIT:
        raise EspdlError(f"the accelerator does not scale {old} pixels to {new}", why="it takes 1/16 up to below 256")
    return scale


def resize_ppa(image: Image, width: int, height: int, pix_type: PixelType | None = None) -> Image:
    """``image`` in another size and type, where the accelerator's result is known: of the same size, colours and bits staying as they are.

    Args:
        image: RGB888, BGR888, or one of the 565 types.
        width, height: of the new image.
        pix_type: of the new image: RGB888, BGR888 or a 565LE type for 888 images; BGR888 or RGB565LE for RGB565, RGB888 or BGR565LE for
            BGR565. None keeps the image's.

    Raises:
        EspdlError: for a pair of types or a scale that the accelerator does not take; and for what it does by rules that are not published,
            which is every change of size, and every change between 888 and 565.
    """
    target = image.pix_type if pix_type is None else pix_type
    taken = _PAIRS.get(image.pix_type, frozenset())
    if target not in taken:
        names = ", ".join(sorted(one.name for one in taken)) or "nothing"
        raise EspdlError(f"the accelerator does not make {target.name} of {image.pix_type.name}", why=f"it makes {names} of it")
    across, down = ppa_scale(image.width, width), ppa_scale(image.height, height)
    if (width, height) != (image.width, image.height):
        raise EspdlError(
            f"the pixels that the accelerator makes of {image.width} x {image.height} are not known for {width} x {height}",
            why=f"it mixes pixels by a rule that is not published; its scales would be {across} and {down}",
            hint="resize_bilinear gives an estimate; the chip's ImageTransformer resizes as the one here",
        )
    if (target in _FULL) != (image.pix_type in _FULL):
        raise EspdlError(
            f"how the accelerator rounds {image.pix_type.name} to {target.name} is not known", hint="convert is software's"
        )
    if target in _FULL:
        swapped = target is not image.pix_type
        return Image(np.ascontiguousarray(image.data[:, :, ::-1] if swapped else image.data.copy()), target)
    return image.copy() if target is image.pix_type else Image(np.ascontiguousarray(image.data[:, :, ::-1]), target)


def hw_decoded_size(data: bytes) -> tuple[int, int]:
    """Width and height of the image that ``hw_decode_jpeg`` gives: those of the picture, filled up to whole blocks.

    A block is 16 x 16 pixels for 4:2:0, 16 x 8 for 4:2:2, and 8 x 8 for 4:4:4 and gray. A model that is given the image as it is sees the
    filling too: cut the picture out of it.

    Raises:
        EspdlError: for data that are no JPEG.
    """
    with open_picture(data) as opened:
        if opened.format != "JPEG":
            raise EspdlError(f"this is no JPEG, but {opened.format}")
        layers = getattr(opened, "layer", [])
        across, down = (8 * max((layer[axis] for layer in layers), default=1) if len(layers) > 1 else 8 for axis in (1, 2))
        return -(-opened.width // across) * across, -(-opened.height // down) * down
