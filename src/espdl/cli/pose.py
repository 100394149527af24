"""``espdl pose``."""

from __future__ import annotations

from espdl.cli.detections import DEFAULTS, Options, find_things
from espdl.cli.options import ModelFile
from espdl.cli.pictures import Pictures


def command(model: ModelFile, images: Pictures, /, *, options: Options = DEFAULTS) -> int:
    """Find people and their key points in pictures, as the chip would (YOLO11-pose).

    All that espdl detect says holds; 17 key points come with every box, and
    are drawn with lines between them.

    Exit code 1 if any picture cannot be read; the others are done all the same.

    Example: espdl pose yolo11n_pose.espdl street.jpg -o people.png
    """
    return find_things(model, images, options, "yolo11pose", None, "finding people")
