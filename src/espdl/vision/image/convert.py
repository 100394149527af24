"""Which pixel types become which, and how (runtime spec 7.1 and 7.2)."""

from __future__ import annotations

from espdl.errors import EspdlError
from espdl.vision.image.color import Bytes, HsvRange, gray_of, hsv_of, pack_565, rgb_of_yuv, unpack_565
from espdl.vision.image.picture import Image
from espdl.vision.image.pixel import Kind, PixelType
from espdl.vision.image.yuv import separate_yuv

_FROM_COLOR = {Kind.COLOR, Kind.GRAY, Kind.PACKED, Kind.HSV, Kind.MASK}
_TARGETS: dict[Kind, set[Kind]] = {
    Kind.COLOR: _FROM_COLOR,
    Kind.PACKED: _FROM_COLOR,
    Kind.GRAY: {Kind.GRAY},
    Kind.HSV: {Kind.MASK},
    Kind.YUV: {*_FROM_COLOR, Kind.YUV},
    Kind.MASK: set(),
}


def convertible(source: PixelType, target: PixelType) -> bool:
    """Whether the chip converts pixels of type ``source`` to ``target``."""
    return not source.is_quantized and target.kind in _TARGETS[source.kind]


def require_convertible(source: PixelType, target: PixelType) -> None:
    """Raises :class:`EspdlError` where :func:`convertible` is False."""
    if not convertible(source, target):
        targets = [other.name for other in PixelType if convertible(source, other)]
        raise EspdlError(
            f"the chip does not convert {source.name} to {target.name}",
            hint=f"from {source.name} it makes {', '.join(targets)}" if targets else f"{source.name} pixels are an end",
        )


def convert(image: Image, pix_type: PixelType, hsv_range: HsvRange | None = None) -> Image:
    """``image`` in another pixel type, of the same size.

    Args:
        pix_type: not a quantized one: quantizing needs mean, std and an exponent, see :class:`~espdl.vision.image.ImageTransformer`.
        hsv_range: which colours a HSV_MASK shows.

    Raises:
        EspdlError: for a pair of types that the chip does not convert, and for YUV images of odd width.
    """
    require_convertible(image.pix_type, pix_type)
    if pix_type.is_quantized:
        raise EspdlError(f"{pix_type.name} needs mean, std and an exponent", hint="use ImageTransformer or ImagePreprocessor")
    if image.pix_type is pix_type:
        return image
    source, pixels = image.pix_type, image.data
    if source.kind is Kind.YUV:
        if pix_type.kind is Kind.YUV:
            return Image(pixels[:, :, ::-1], pix_type)
        pixels = separate_yuv(image)
    return Image(convert_pixels(pixels, source, pix_type, hsv_range), pix_type)


def convert_pixels(pixels: Bytes, source: PixelType, target: PixelType, hsv_range: HsvRange | None = None) -> Bytes:
    """Pixels [..., elements] of a plain type to another; YUV ones are given as [..., 3] with Y, U and V of every pixel."""
    if source is target:
        return pixels
    if target.kind is Kind.GRAY and source.kind is Kind.YUV:
        return pixels[..., :1]
    if target.kind is Kind.MASK:
        if hsv_range is None:
            raise EspdlError("an HSV_MASK image needs a range of colours", hint="give hsv_range")
        return hsv_range.mask(pixels if source.kind is Kind.HSV else hsv_of(_rgb(pixels, source)))
    if source.kind is target.kind is Kind.COLOR:
        return pixels[..., ::-1]
    rgb = _rgb(pixels, source)
    match target.kind:
        case Kind.COLOR:
            return rgb[..., ::-1] if target.is_blue_first else rgb
        case Kind.PACKED:
            return pack_565(rgb, target)
        case Kind.HSV:
            return hsv_of(rgb)
        case _:
            return gray_of(rgb)


def _rgb(pixels: Bytes, source: PixelType) -> Bytes:
    match source.kind:
        case Kind.PACKED:
            return unpack_565(pixels, source)
        case Kind.YUV:
            return rgb_of_yuv(pixels)
        case _:
            return pixels[..., ::-1] if source.is_blue_first else pixels
