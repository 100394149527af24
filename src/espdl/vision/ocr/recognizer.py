"""What a line of text says: PP-OCRv6's recogniser (runtime spec 7.11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.fbs.loader import Source as ModelSource
from espdl.rounding import dequantize, quantize
from espdl.vision.image import Image, Source
from espdl.vision.ocr.detector import colours
from espdl.vision.ocr.quads import distance, ordered
from espdl.vision.ocr.sampling import bilinear, perspective, warped

UPRIGHT_RATIO = 1.5
UNKNOWN = "?"


@dataclass(frozen=True)
class Reading:
    """Classes read from a picture of a line.

    Attributes:
        text: their characters.
        score: the mean of their probabilities, 0 without any.
        classes: one for each character.
    """

    text: str
    score: float
    classes: tuple[int, ...]


def ctc_decode(logits: NDArray, exponent: int, charset: Sequence[str]) -> Reading:
    """Greedy decoding: the best class of each step (the first of equals), without blanks (class 0) and repetitions.

    Args:
        logits: integers [steps, classes] with ``exponent``.
        charset: the character of each class.
    """
    best = np.argmax(logits, axis=1)
    before = np.concatenate(([0], best[:-1]))
    steps = np.flatnonzero((best != 0) & (best != before))
    if not len(steps):
        return Reading("", 0.0, ())
    values = dequantize(logits[steps], exponent)
    chosen = np.take_along_axis(values, best[steps, np.newaxis], axis=1)
    sums = np.add.accumulate(np.exp(values - chosen), axis=1, dtype=np.float32)[:, -1]
    scores = np.add.accumulate(np.float32(1) / sums, dtype=np.float32)[-1] / np.float32(len(steps))
    classes = tuple(int(i) for i in best[steps])
    return Reading("".join(charset[i] if i < len(charset) else UNKNOWN for i in classes), float(scores), classes)


def box_sides(points: ArrayLike) -> tuple[NDArray[np.float32], np.float32, np.float32]:
    """The corners of a box :func:`~espdl.vision.ocr.quads.ordered`, its larger width and its larger height."""
    corners = ordered(points)
    width = max(distance(corners[0], corners[1]), distance(corners[3], corners[2]))
    height = max(distance(corners[0], corners[3]), distance(corners[1], corners[2]))
    return corners, width, height


def aspect_ratio(points: ArrayLike) -> float:
    """Width over height of a box, of a line that stands upright height over width; 0 for an empty one."""
    _, width, height = box_sides(points)
    if min(width, height) < 1e-3:
        return 0.0
    return float(height / width if height / width >= UPRIGHT_RATIO else width / height)


def text_crop(image: Source, points: ArrayLike) -> Image:
    """The line in a box, straightened; a line that stands upright is turned by 90 degrees counter-clockwise.

    Args:
        points: four corners, x and y.

    Raises:
        EspdlError: for corners that make no quadrilateral.
    """
    corners, width, height = box_sides(points)
    columns, rows = max(1, int(width)), max(1, int(height))
    frame = [(0, 0), (columns, 0), (columns, rows), (0, rows)]
    pixels = warped(colours(image).data, perspective(frame, corners), columns, rows)
    return Image(np.ascontiguousarray(np.rot90(pixels)) if rows / columns >= UPRIGHT_RATIO else pixels)


class TextRecognizer:
    """The recogniser of PP-OCRv6.

    Args:
        model: ``pp_ocr_v6_rec_s8.espdl`` or its like, its bytes, or a Model that is ready to run.
        charset: the character of each class; see :func:`~espdl.vision.ocr.read_charset`.
        options: further arguments of Model: target, arithmetic, backend ...

    Raises:
        EspdlError: for a file that cannot be read or is no recogniser, and for another number of characters than classes.
    """

    def __init__(self, model: Model | ModelSource, charset: Sequence[str], **options: Any) -> None:
        self.model = model if isinstance(model, Model) else Model(model, **options)
        self._input, self._output = self.model.get_input(), self.model.get_output()
        shape, out = list(self._input.shape), list(self._output.shape)
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or len(out) < 2 or self._output.data.dtype.kind != "i":
            raise EspdlError("this model reads no text", why=f"its input is {shape} and its output {out}")
        if len(charset) != out[-1]:
            raise EspdlError(f"there are {len(charset)} characters, the model has {out[-1]} classes")
        self.charset = tuple(charset)

    @property
    def aspect_ratio(self) -> float:
        """Width over height of the lines that fit."""
        return self._input.shape[2] / self._input.shape[1]

    def preprocess(self, line: Source) -> None:
        """Fills the model's input with the picture of a line: as high as the input, as wide as fits, blue first, zeros behind it."""
        picture = colours(line)
        height, width = int(self._input.shape[1]), int(self._input.shape[2])
        wide = np.ceil(np.float32(height) * (np.float32(picture.width) / np.float32(picture.height)))
        columns = max(1, min(width, int(wide)))
        values = np.clip(bilinear(picture.data, columns, height), 0, 255) / np.float32(255)
        values = (values - np.float32(0.5)) / np.float32(0.5)
        target = self._input.data[0]
        target[:] = 0
        target[:, :columns] = quantize(values[..., ::-1], int(self._input.exponent), target.dtype, self.model.chip.rounding)

    def read(self, line: Source) -> Reading:
        """What a picture of a line says."""
        self.preprocess(line)
        self.model.run()
        return self.decode()

    def run(self, image: Source, points: ArrayLike) -> Reading:
        """What the line in a box of a picture says."""
        return self.read(text_crop(image, points))

    def decode(self) -> Reading:
        """What the model's output holds."""
        data = self._output.data
        return ctc_decode(data.reshape(-1, data.shape[-1]), int(self._output.exponent), self.charset)
