"""What espdl detect, pose and segment share."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from espdl.cli.options import FILE, SHARE, Arithmetic, Backend, ModelTarget
from espdl.cli.pictures import JsonLines, Pictures, ResamplingName, Upright

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from espdl.vision.detect import Detection

PNG = ".png"


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Options of verbs that find things in pictures."""

    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="Picture to draw what was found into; of several pictures, a folder for them."),
    ] = None
    score_threshold: Annotated[float | None, Parameter(validator=SHARE, help="Tell only what has a score above this.")] = None
    nms_threshold: Annotated[
        float | None, Parameter(validator=SHARE, help="Of two boxes that overlap by more than this, drop the weaker.")
    ] = None
    top_k: Annotated[PositiveInt | None, Parameter(help="Tell at most so many.")] = None
    labels: Annotated[
        Path | None, Parameter(validator=FILE, help="Names of the classes, one a line; COCO's for a model of 80 classes.")
    ] = None
    resampling: ResamplingName = "nearest"
    upright: Upright = False
    target: ModelTarget = None
    arithmetic: Arithmetic = "silicon"
    backend: Backend = None
    json: JsonLines = False


DEFAULTS = Options()


def find_things(model: Path, images: Pictures, options: Options, kind: str | None, second: Path | None, text: str) -> int:
    """Runs a detector over pictures; prints, and draws, what was found. Returns the exit code."""
    from espdl.cli.pictures import each_picture, find_pictures
    from espdl.progress import stage
    from espdl.vision.detect import draw_detections, open_detector
    from espdl.vision.image import read_image
    from espdl.vision.labels import read_labels

    if options.output is not None:
        outputs = drawn_files(find_pictures(images), images, options.output)
    with stage(f"loading {model.name}"):
        finder = open_detector(
            model,
            kind,
            second,
            labels=read_labels(options.labels) if options.labels else None,
            score_threshold=options.score_threshold,
            nms_threshold=options.nms_threshold,
            top_k=options.top_k,
            resampling=options.resampling,
            target=options.target,
            arithmetic=options.arithmetic,
            backend=options.backend,
        )

    def work(file: Path) -> dict[str, Any]:
        picture = read_image(file, upright=options.upright)
        found = finder.run(picture)
        told: dict[str, Any] = {"width": picture.width, "height": picture.height}
        told["detections"] = [one.to_json() for one in found] if options.json else found
        if options.output is not None:
            drawn = outputs[file]
            drawn.parent.mkdir(parents=True, exist_ok=True)
            save_picture(drawn, draw_detections(picture, found))
            told["output"] = str(drawn)
        return told

    def tell(file: Path, found: dict[str, Any]) -> None:
        print(file)
        for one in found["detections"]:
            print("  " + line_of(one))
        if not found["detections"]:
            print("  nothing has a score above the threshold")
        if "output" in found:
            print(f"  drawn in {found['output']}")

    return each_picture(images, work, tell, json=options.json, text=text)


def line_of(found: Detection) -> str:
    """One thing found as a line: score, name, box, and what else is known of it."""
    x1, y1, x2, y2 = found.box
    line = f"{found.score:<9.6f} {found.label or found.category}  [{x1}, {y1}, {x2}, {y2}]"
    if found.keypoints:
        line += f"  {sum(point != (0, 0) for point in found.keypoints)} of {len(found.keypoints)} key points"
    if found.mask is not None:
        line += f"  mask of {found.mask_pixels} pixels"
    return line


def save_picture(path: Path, picture: PillowImage) -> None:
    """Writes a picture as a whole or not at all. Raises :class:`EspdlError` when it cannot be written."""
    from PIL import Image as pillow

    from espdl.fbs import write_atomically

    encoded = io.BytesIO()
    picture.save(encoded, format=pillow.registered_extensions()[path.suffix.lower()])
    write_atomically(path, encoded.getvalue())


def drawn_files(files: list[Path], given: list[Path], output: Path) -> dict[Path, Path]:
    """Where each picture is drawn: ``output`` itself for a single one, else in a folder of that name, as in the folder it came from.

    Raises:
        EspdlError: when a picture would be drawn over one that is read, or two in the same place.
    """
    from espdl.errors import EspdlError
    from espdl.quantize.pictures import PICTURE_SUFFIXES

    if len(given) == 1 and not given[0].is_dir() and not output.is_dir():
        if output.suffix.lower() not in PICTURE_SUFFIXES:
            raise EspdlError(f"{output.name} is no name of a picture", hint=f"call it {output.name}{PNG}")
        places = {files[0]: output}
    else:
        if output.is_file():
            raise EspdlError("the pictures need a folder, this is a file", where=str(output))
        folders = [path for path in given if path.is_dir()]
        places = {}
        for file in files:
            inside = next((folder for folder in folders if folder in file.parents), file.parent)
            places[file] = output / file.relative_to(inside).with_suffix(PNG)
    read = {file.resolve() for file in files}
    taken: dict[Path, Path] = {}
    for file, place in places.items():
        if place.resolve() in read:
            raise EspdlError("a picture would be drawn over one that is read", where=str(place), hint="give another -o")
        if place in taken and taken[place] != file:
            raise EspdlError(
                f"{taken[place]} and {file} would be drawn in the same place", where=str(place), hint="give each its own -o"
            )
        taken[place] = file
    return places
