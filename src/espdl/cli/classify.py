"""``espdl classify``."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from espdl.cli.options import PER_CHANNEL, Arithmetic, Backend, ModelFile, ModelTarget
from espdl.cli.pictures import JsonLines, Pictures, ResamplingName, Upright

if TYPE_CHECKING:
    from espdl.dl import Model


def _known_labels(_: object, name: str | None) -> None:
    if name not in (None, "imagenet", "gestures") and not Path(str(name)).is_file():
        raise ValueError("it is neither imagenet, gestures nor a file")


def _whole_numbers(_: object, text: str | None) -> None:
    if text is not None and not re.fullmatch(r"\d+(,\d+){3}", text):
        raise ValueError("it is not four whole numbers x1,y1,x2,y2")


def command(
    model: ModelFile,
    images: Pictures,
    /,
    *,
    top_k: Annotated[PositiveInt, Parameter(help="How many classes to tell.")] = 5,
    threshold: Annotated[float, Parameter(help="Tell only classes with a score above this.")] = -math.inf,
    labels: Annotated[
        str | None,
        Parameter(
            validator=_known_labels,
            help="imagenet, gestures, or a text file, one name a line; without it imagenet for 1000 classes, else numbers.",
        ),
    ] = None,
    mean: Annotated[
        str, PER_CHANNEL, Parameter(help="Of pixels in 0..1, in the order of the model's channels.")
    ] = "0.485,0.456,0.406",
    std: Annotated[
        str, PER_CHANNEL, Parameter(help="Likewise; the model gets (pixel / 255 - mean) / std.")
    ] = "0.229,0.224,0.225",
    bgr: Annotated[bool, Parameter(help="The model takes blue first.", show_default=False)] = False,
    softmax: Annotated[
        bool, Parameter(negative="--no-softmax", help="Whether the model's output still has to become probabilities.")
    ] = True,
    crop: Annotated[
        str | None, Parameter(validator=_whole_numbers, help="Look at a part of the pictures only: x1,y1,x2,y2, in pixels.")
    ] = None,
    resampling: ResamplingName = "nearest",
    upright: Upright = False,
    target: ModelTarget = None,
    arithmetic: Arithmetic = "silicon",
    backend: Backend = None,
    json: JsonLines = False,
) -> int:
    """Say what pictures show, with the scores that the chip would give.

    Pictures are resized, normalised and quantized as on the chip; --mean and
    --std stand as in espdl quantize. With --json every picture gives one line,
    an object with its path, and its classes or an error.

    Exit code 1 if any picture cannot be read; the others are done all the same.

    Example: espdl classify mobilenet.espdl cat.jpg photos/ --top-k 3
    """
    from espdl.cli.pictures import each_picture
    from espdl.dl import Model
    from espdl.progress import stage
    from espdl.vision.classify import Classifier
    from espdl.vision.image import read_image

    with stage(f"loading {model.name}"):
        network = Model(model, target=target, arithmetic=arithmetic, backend=backend)
        classifier = Classifier(
            network,
            _pixels(mean),
            _pixels(std),
            rgb_swap=bgr,
            labels=_labels(labels, network),
            topk=top_k,
            score_thr=threshold,
            need_softmax=softmax,
            resampling=resampling,
        )

    part = None if crop is None else [int(number) for number in crop.split(",")]

    def work(file: Path) -> dict[str, Any]:
        return {"classes": [found.to_dict() for found in classifier.run(read_image(file, upright=upright), part)]}

    def tell(file: Path, found: dict[str, Any]) -> None:
        print(file)
        for one in found["classes"]:
            print(f"  {one['score']:.6f}  {one['label']}")
        if not found["classes"]:
            print("  no class has a score above the threshold")

    return each_picture(images, work, tell, json=json, text="classifying")


def _pixels(text: str) -> list[float]:
    """Numbers for pixels in 0..1 as those for pixels in 0..255, which the chip's preprocessing takes."""
    return [float(number) * 255 for number in text.split(",")]


def _labels(name: str | None, model: Model) -> tuple[str, ...]:
    from espdl.errors import EspdlError
    from espdl.vision.labels import GESTURES, imagenet_labels, names_for, read_labels

    classes = model.get_output().shape[-1]
    if name is None:
        return names_for(classes)
    found = imagenet_labels() if name == "imagenet" else GESTURES if name == "gestures" else read_labels(name)
    if len(found) != classes:
        raise EspdlError(f"there are {len(found)} labels, the model has {classes} classes", where=name)
    return found
