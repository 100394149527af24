"""Pictures as a float network sees them: size, channels, mean and standard deviation, axis order."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from espdl.errors import EspdlError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})


@dataclass(frozen=True)
class PictureOptions:
    """How pixels become numbers: ``(pixel / 255 - mean) / std``, one mean and std for all channels or one each.

    Attributes:
        mean, std: in the order of the network's channels, for pixels in 0..1.
        bgr: the network takes blue first; concerns picture files, which are read red first. Arrays are taken as they are.
        resize: of picture files: length of the shorter side, in pixels, before the middle is cut out; None resizes to the network's
            height and width without keeping the proportions.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    bgr: bool = False
    resize: int | None = None

    def __post_init__(self) -> None:
        hint = "it is for pixels in 0..1: divide by 255"
        for value in self.mean:
            if not abs(value) <= 2:
                raise EspdlError(f"a mean of {value:g} is out of range", hint=hint)
        for value in self.std:
            if not 0 < value <= 2:
                raise EspdlError(f"a std of {value:g} is out of range", hint=hint)
        if self.resize is not None and self.resize < 1:
            raise EspdlError(f"pictures cannot be resized to {self.resize} pixels")


def picture_size(name: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width that an input takes; [1, C, H, W] or, where that gives no picture, [1, H, W, C].

    Raises:
        EspdlError: when it takes no pictures.
    """
    if takes_pictures(shape):
        return (shape[1], shape[2], shape[3]) if shape[1] in (1, 3) else (shape[3], shape[1], shape[2])
    raise EspdlError(
        f"input {name!r} of shape {list(shape)} takes no pictures",
        why="a picture has 4 axes and 1 or 3 channels",
        hint="give calibration data as .npy or .npz",
    )


def takes_pictures(shape: tuple[int, ...]) -> bool:
    """Whether an input of ``shape`` takes pictures, see :func:`picture_size`."""
    return len(shape) == 4 and (shape[1] in (1, 3) or shape[3] in (1, 3))


def picture_stack(name: str, array: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """uint8 ``array`` as pictures [samples, H, W, C] for an input of ``shape``; a single picture and either order of axes are taken.

    Raises:
        EspdlError: when its pictures have another size than the input's.
    """
    channels, height, width = picture_size(name, shape)
    stack = array[np.newaxis] if array.ndim == 3 and channels != 1 else array
    if channels == 1 and array.ndim in (2, 3):
        stack = array.reshape(-1, height, width, 1) if array.shape[-2:] == (height, width) else array
    if stack.ndim == 4 and stack.shape[1:] == (channels, height, width) and shape[1] == channels:
        stack = np.moveaxis(stack, 1, 3)
    if stack.ndim != 4 or stack.shape[1:] != (height, width, channels):
        raise EspdlError(
            f"pixels of shape {list(array.shape)} do not fit input {name!r} of shape {list(shape)}",
            hint=f"give pictures of {height} x {width} with {channels} channels, or a directory of picture files, which are resized",
        )
    return stack


def read_picture(file: Path, shape: tuple[int, ...], options: PictureOptions) -> NDArray[np.float32]:
    """A picture file as the network's input: brought to its height and width (bilinear), scaled by mean and std."""
    channels, height, width = picture_size("", shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                picture = _fit(opened.convert("L" if channels == 1 else "RGB"), height, width, options.resize)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise EspdlError("the picture cannot be read", where=str(file), why=str(error)) from None
    pixels = np.asarray(picture, dtype=np.uint8).reshape(height, width, channels)
    return network_picture(pixels[..., ::-1] if options.bgr else pixels, shape, options)


def _fit(picture: Image.Image, height: int, width: int, shorter: int | None) -> Image.Image:
    """``picture`` as ``height`` x ``width``: resized whole, or resized to a ``shorter`` side and the middle of it."""
    if shorter is None:
        return picture.resize((width, height), Image.Resampling.BILINEAR)
    if picture.width <= picture.height:
        size = (shorter, int(shorter * picture.height / picture.width))
    else:
        size = (int(shorter * picture.width / picture.height), shorter)
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    if left < 0 or top < 0:
        raise EspdlError(
            f"a picture resized to {size[0]} x {size[1]} is smaller than the network's {width} x {height}",
            hint=f"resize to {max(height, width)} or more",
        )
    return picture.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))


def network_picture(pixels: NDArray[np.uint8], shape: tuple[int, ...], options: PictureOptions) -> NDArray[np.float32]:
    """Pixels [H, W, C] as the network's input of ``shape``, scaled by mean and std.

    Raises:
        EspdlError: when size or channels differ from the network's, or the number of means or stds from its channels.
    """
    channels, height, width = picture_size("", shape)
    if pixels.shape != (height, width, channels):
        raise EspdlError(f"a picture of shape {list(pixels.shape)} does not fit the network's {[height, width, channels]}")
    for kind, values in (("means", options.mean), ("stds", options.std)):
        if len(values) not in (1, channels):
            raise EspdlError(f"{len(values)} {kind} are given for {channels} channels")
    scaled = (pixels.astype(np.float32) / 255 - np.asarray(options.mean, np.float32)) / np.asarray(options.std, np.float32)
    ordered = np.moveaxis(scaled, 2, 0) if shape[1] == channels else scaled
    return np.ascontiguousarray(ordered, dtype=np.float32).reshape(shape)
