"""``espdl segment``."""

from __future__ import annotations

from espdl.cli.detections import DEFAULTS, Options, find_things
from espdl.cli.options import ModelFile
from espdl.cli.pictures import Pictures


def command(model: ModelFile, images: Pictures, /, *, options: Options = DEFAULTS) -> int:
    """Find things and their outlines in pictures, as the chip would (YOLO11-seg).

    All that espdl detect says holds; with --json every box has a mask of its
    pixels, as lengths of runs by rows, the first one outside.

    Exit code 1 if any picture cannot be read; the others are done all the same.

    Example: espdl segment yolo11n_seg.espdl bus.jpg -o masks.png
    """
    return find_things(model, images, options, "yolo11seg", None, "finding outlines")
