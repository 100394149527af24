"""``espdl detect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from espdl.cli.detections import DEFAULTS, Options, find_things
from espdl.cli.options import FILE, ModelFile
from espdl.cli.pictures import Pictures

Type = Literal["yolo11", "yolo11pose", "yolo11seg", "yolo26", "espdet", "pico", "msr+mnp"]


def command(
    model: ModelFile,
    images: Pictures,
    /,
    *,
    type: Annotated[Type | None, Parameter(help="What decodes the outputs; guessed from their names and shapes.")] = None,
    second: Annotated[Path | None, Parameter(validator=FILE, help="Of msr+mnp: the second model (mnp).")] = None,
    options: Options = DEFAULTS,
) -> int:
    """Find things in pictures, with the scores and boxes that the chip would give.

    Pictures are resized, normalised and quantized as on the chip, thresholds
    are those of ESP-DL's component unless given. Boxes are x1, y1, x2, y2 in
    pixels of the picture. With --json every picture gives one line, an object
    with its path and what was found, or an error.

    Exit code 1 if any picture cannot be read; the others are done all the same.

    Example: espdl detect yolo11n.espdl bus.jpg -o found.png
    """
    return find_things(model, images, options, type, second, "detecting")
