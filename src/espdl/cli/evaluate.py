"""``espdl evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import CycloptsError, Parameter
from cyclopts.types import PositiveInt
from cyclopts.validators import Path as PathValidator

from espdl.cli.options import FILE, PER_CHANNEL, SHARE, Arithmetic, Backend, Json, ModelFile, ModelTarget, OutputFile
from espdl.cli.pictures import ResamplingName

if TYPE_CHECKING:
    from espdl.dl import Model

COMPARED = {"detect": "bbox", "pose": "keypoints", "segment": "segm"}


def command(
    model: ModelFile,
    /,
    *,
    task: Annotated[Literal["classify", "detect", "pose", "segment"], Parameter(help="What the model does.")],
    data: Annotated[
        Path,
        Parameter(
            validator=PathValidator(exists=True),
            help="classify: a folder of folders, one for each class, or an .npz file with x and y; else annotations in COCO's format.",
        ),
    ],
    float_network: Annotated[
        Path | None, Parameter(name="--float", validator=FILE, help="The float network (.onnx) to compare.")
    ] = None,
    images: Annotated[
        Path | None,
        Parameter(
            validator=PathValidator(exists=True, file_okay=False),
            help="Folder of the pictures that annotations name; that of the annotations by default.",
        ),
    ] = None,
    limit: Annotated[PositiveInt | None, Parameter(help="Use at most so many samples.")] = None,
    results: Annotated[OutputFile | None, Parameter(help="Write what was found as a COCO result file (.json).")] = None,
    score_threshold: Annotated[
        float, Parameter(validator=SHARE, help="Of detectors: the metric ranks by score, so it is low.")
    ] = 0.001,
    nms_threshold: Annotated[float, Parameter(validator=SHARE, help="Of detectors.")] = 0.7,
    top_k: Annotated[PositiveInt, Parameter(help="Of detectors, in one picture.")] = 300,
    mean: Annotated[
        str, PER_CHANNEL, Parameter(help="Of classifiers: of pixels in 0..1, in the order of the model's channels.")
    ] = "0.485,0.456,0.406",
    std: Annotated[
        str, PER_CHANNEL, Parameter(help="Likewise; the model gets (pixel / 255 - mean) / std.")
    ] = "0.229,0.224,0.225",
    bgr: Annotated[bool, Parameter(help="The classifier takes blue first.", show_default=False)] = False,
    resize: Annotated[
        PositiveInt | None,
        Parameter(help="Of classifiers: cut out the middle that is left of a picture whose shorter side has so many pixels."),
    ] = None,
    labels: Annotated[
        Path | None, Parameter(validator=FILE, help="Names of the classes, one a line, for folders called by names.")
    ] = None,
    resampling: ResamplingName = "nearest",
    target: ModelTarget = None,
    arithmetic: Arithmetic = "silicon",
    backend: Backend = None,
    json: Json = False,
) -> int:
    """Measure the accuracy of a file on labelled data, beside the float network's.

    Both get the same pixels, resized as on the chip. Classifiers give top-1
    and top-5, the others the average precision of COCO, which needs
    pip install 'espdl[evaluate]'. Arrays of floats in an .npz file are taken as
    they are, in the float network's order of axes; labels may be rows of
    several right classes, -1 is none. Folders are called by the number or name
    of their class, or count in the order of their names.

    Example: espdl evaluate net.espdl --task classify --data test.npz --float net.onnx
    """
    from espdl.cli.output import print_facts, print_json, print_table
    from espdl.dl import Model
    from espdl.fbs.files import require_writable
    from espdl.progress import stage
    from espdl.vision.evaluate import FloatNetwork

    if results is not None:
        if task == "classify":
            raise CycloptsError(msg="--results is for detectors, not for --task classify.")
        require_writable(results, keep=(model, data))
    with stage(f"loading {model.name}"):
        opened = Model(model, target=target, arithmetic=arithmetic, backend=backend)
        network = FloatNetwork(float_network) if float_network else None
    head = {"model": str(model), "task": task, "data": str(data), "target": opened.chip.name, "arithmetic": arithmetic}
    if task == "classify":
        count, rows, told = _classify(opened, data, network, labels, limit, _options(mean, std, bgr, resize, resampling))
    else:
        thresholds = {"score_threshold": score_threshold, "nms_threshold": nms_threshold, "top_k": top_k}
        count, rows, told = _detect(opened, data, network, task, limit, images, results, thresholds | {"resampling": resampling})
    if json:
        print_json(head | told)
        return 0
    kind = "samples" if task == "classify" else "pictures"
    print_facts([("model", f"{model.name} on {opened.chip.name}, {arithmetic} arithmetic"), (kind, str(count))])
    print()
    columns = ("metric", "integer", *(("float", "difference") if network else ()))
    print_table(columns, [_row(*row) for row in rows], right=columns[1:])
    if results is not None:
        print(f"\nresults written to {results}")
    return 0


def _row(name: str, integer: float, real: float | None) -> tuple[str, ...]:
    return (name, f"{integer:.2%}") if real is None else (name, f"{integer:.2%}", f"{real:.2%}", f"{100 * (integer - real):+.2f}")


Told = tuple[int, list[tuple[str, float, float | None]], dict[str, Any]]
"""How many samples, the figures of each metric, and all of it for JSON."""


def _options(mean: str, std: str, bgr: bool, resize: int | None, resampling: str) -> Any:
    from espdl.vision.evaluate.classification import PictureOptions

    means, stds = ([255 * float(number) for number in text.split(",")] for text in (mean, std))
    return PictureOptions(means, stds, bgr, resize, resampling)


def _classify(model: Model, data: Path, network: Any, labels: Path | None, limit: int | None, options: Any) -> Told:
    from espdl.vision.evaluate import evaluate_classifier, open_labelled
    from espdl.vision.evaluate.classification import classes_of
    from espdl.vision.labels import names_for, read_labels

    classes = classes_of(model)
    names = read_labels(labels) if labels else names_for(classes)
    samples = open_labelled(data, classes, names)
    found = evaluate_classifier(model, samples.limited(limit) if limit else samples, network, options)
    rows = [("top-1", found.top1, found.float_top1), ("top-5", found.top5, found.float_top5)]
    if found.agreement is not None:
        rows.append(("same answer", found.agreement, None))
    return found.samples, rows, found.to_dict()


def _detect(
    model: Model, data: Path, network: Any, task: str, limit: int | None, images: Path | None, results: Path | None, options: Any
) -> Told:
    from espdl.fbs import write_atomically
    from espdl.report.jsontext import json_text
    from espdl.vision.detect import Detector
    from espdl.vision.evaluate import CocoData, evaluate_detector

    kind = {"pose": "yolo11pose", "segment": "yolo11seg"}.get(task)
    detector = Detector(model, kind, picture_coordinates=True, **options)
    pictures = CocoData(data, images)
    found = evaluate_detector(detector, pictures.limited(limit) if limit else pictures, network, COMPARED[task])
    if results is not None:
        write_atomically(results, json_text(list(found.results)) + "\n")
    real = found.float_metrics or {}
    return found.pictures, [(name, value, real.get(name)) for name, value in found.metrics.items()], found.to_dict()
