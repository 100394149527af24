"""Where text is: PP-OCRv6's detector (runtime spec 7.11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs.loader import Source as ModelSource
from espdl.rounding import Rounding, dequantize, quantize
from espdl.vision.classify import IMAGENET_MEAN, IMAGENET_STD
from espdl.vision.hulls import Points
from espdl.vision.image import Image, ImagePreprocessor, PixelType, Source, read_image
from espdl.vision.ocr.quads import distance, grown, mean_inside, ordered, smallest_rectangle
from espdl.vision.ocr.sampling import bilinear
from espdl.vision.regions import region_ends

PIXEL_THRESHOLD, BOX_THRESHOLD, UNCLIP_RATIO = 0.2, 0.4, 1.4
SHORTEST_SIDE, MOST_REGIONS, SAME_LINE = 3, 3000, 10
BACKGROUND = 127


@dataclass(frozen=True)
class TextBox:
    """A line of text in a picture.

    Attributes:
        points: x and y of the corners in whole pixels: top left, top right, bottom right, bottom left.
        score: the mean probability inside.
    """

    points: tuple[tuple[int, int], ...]
    score: float

    def to_dict(self) -> dict[str, Any]:
        return {"box": [list(point) for point in self.points], "det_score": round(self.score, 6)}


def text_boxes(
    probabilities: NDArray[np.integer],
    exponent: int,
    size: tuple[int, int],
    scale: float,
    rounding: Rounding,
    *,
    pixel_threshold: float = PIXEL_THRESHOLD,
    box_threshold: float = BOX_THRESHOLD,
    unclip_ratio: float = UNCLIP_RATIO,
) -> list[TextBox]:
    """Boxes in a map of probabilities, in the order of reading.

    Args:
        probabilities: integers [height, width] with ``exponent``.
        size: width and height of the picture. scale: pixels of the map for one of the picture.
        rounding: of the threshold, the chip's.
        pixel_threshold: pixels above it belong to text. box_threshold: boxes with a lower mean are left out.
        unclip_ratio: how much boxes grow.
    """
    threshold = quantize(np.float32(pixel_threshold), exponent, probabilities.dtype, rounding)
    values = dequantize(probabilities, exponent)
    boxes = []
    for ends in region_ends(probabilities > threshold, MOST_REGIONS):
        rectangle, side = smallest_rectangle(ends)
        if side < SHORTEST_SIDE:
            continue
        score = mean_inside(values, rectangle)
        if score < np.float32(box_threshold):
            continue
        rectangle, side = smallest_rectangle(grown(rectangle, unclip_ratio))
        if side < SHORTEST_SIDE + 2:
            continue
        corners = _in_picture(rectangle, size, scale)
        if min(int(distance(corners[0], corners[1])), int(distance(corners[0], corners[3]))) > SHORTEST_SIDE:
            boxes.append(TextBox(tuple((int(x), int(y)) for x, y in corners), score))
    return in_reading_order(boxes)


def _in_picture(rectangle: Points, size: tuple[int, int], scale: float) -> Points:
    scaled = rectangle * (np.float32(1) / np.float32(scale))
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))  # ties away from zero
    return np.clip(ordered(rounded), 0, np.array(size, np.float32) - 1)


def in_reading_order(boxes: list[TextBox]) -> list[TextBox]:
    """From top to bottom by the top left corner; neighbours less than 10 pixels apart in height from left to right."""
    done = sorted(boxes, key=lambda box: (box.points[0][1], box.points[0][0]))
    for start in range(1, len(done)):
        for place in range(start, 0, -1):
            (x, y), (x_before, y_before) = done[place].points[0], done[place - 1].points[0]
            if abs(y - y_before) >= SAME_LINE or x >= x_before:
                break
            done[place - 1 : place + 1] = done[place], done[place - 1]
    return done


class TextDetector:
    """The detector of PP-OCRv6.

    Args:
        model: ``pp_ocr_v6_det_s8.espdl``, its bytes, or a Model that is ready to run.
        options: further arguments of Model: target, arithmetic, backend ...

    Raises:
        EspdlError: for a file that cannot be read or whose output is no map of probabilities.
    """

    def __init__(self, model: Model | ModelSource, **options: Any) -> None:
        self.model = model if isinstance(model, Model) else Model(model, **options)
        self._preprocessor = ImagePreprocessor(self.model, IMAGENET_MEAN, IMAGENET_STD, True)
        self._output = self.model.get_output()
        shape = list(self._output.shape)
        if len(shape) != 4 or shape[0] != 1 or shape[3] != 1 or self._output.dtype is not DType.INT8:
            raise EspdlError(
                "this model finds no text", why=f"its output is {self._output.dtype.name} {shape}, not INT8 [1, height, width, 1]"
            )

    def preprocess(self, image: Source) -> float:
        """Fills the model's input with a picture and returns the scale: pixels of the model for one of the picture.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        canvas, scale = self.canvas(image)
        self._preprocessor.preprocess(canvas)
        return scale

    def canvas(self, image: Source) -> tuple[Image, float]:
        """The picture resized into the upper left corner of an image of the model's size, gray beside it, and its scale."""
        picture = colours(image)
        width, height = self._preprocessor.transformer.width, self._preprocessor.transformer.height
        scale = min(np.float32(width) / np.float32(picture.width), np.float32(height) / np.float32(picture.height))
        columns, rows = (
            min(max(1, int(np.float32(old) * scale + np.float32(0.5))), new)
            for old, new in ((picture.width, width), (picture.height, height))
        )
        canvas = np.full((height, width, 3), BACKGROUND, np.uint8)
        canvas[:rows, :columns] = np.clip(bilinear(picture.data, columns, rows) + np.float32(0.5), 0, 255).astype(np.uint8)
        return Image(canvas), float(scale)

    def run(self, image: Source) -> list[TextBox]:
        """Where text is in a picture, in the order of reading.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        picture = colours(image)
        scale = self.preprocess(picture)
        self.model.run()
        return self.postprocess((picture.width, picture.height), scale)

    def postprocess(self, size: tuple[int, int], scale: float) -> list[TextBox]:
        """Boxes from what the model's output holds, for a picture of this width and height."""
        output, transformer = self._output, self._preprocessor.transformer
        if output.shape[2] != transformer.width or output.shape[1] != transformer.height:
            scale *= output.shape[2] / transformer.width
        return text_boxes(output.data[0, :, :, 0], int(output.exponent), size, scale, self.model.chip.rounding)


def colours(image: Source) -> Image:
    """A picture as RGB888."""
    picture = read_image(image)
    if picture.pix_type is PixelType.GRAY:
        return Image(np.repeat(picture.data, 3, axis=2))
    return picture if picture.pix_type is PixelType.RGB888 else picture.convert(PixelType.RGB888)
