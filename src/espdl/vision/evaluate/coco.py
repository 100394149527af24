"""Data sets and metrics in the format of COCO."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from espdl.errors import EspdlError
from espdl.vision.detect import COCO_IDS

METRICS = {"mAP50-95": 0, "mAP50": 1, "mAP75": 2}
"""Where the figures stand in what the metric gives."""


class CocoData:
    """Pictures with what is in them, from an annotation file.

    Args:
        path: of the JSON file, or of a folder with one JSON file.
        images: folder of the pictures; None takes that of the file.

    Attributes:
        truth: the file's content, with what the metric needs and the file may leave out.
        pictures: id and path of every picture, in the order of the file.

    Raises:
        EspdlError: when it is no such file, or names pictures that are not there.
    """

    def __init__(self, path: str | os.PathLike[str], images: str | os.PathLike[str] | None = None) -> None:
        file = _annotation_file(Path(path))
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EspdlError("the annotations cannot be read", where=str(file), why=str(error)) from None
        self.truth = _checked(content, str(file))
        folder = file.parent if images is None else Path(images)
        self.pictures = [(image["id"], folder / image["file_name"]) for image in self.truth["images"]]
        if absent := [place for _, place in self.pictures if not place.is_file()]:
            raise EspdlError(
                f"{len(absent)} of {len(self.pictures)} pictures are not there",
                where=str(absent[0]),
                hint="say --images FOLDER (in Python: images)",
            )

    def limited(self, limit: int) -> CocoData:
        """The first ``limit`` pictures and what is in them."""
        part = object.__new__(CocoData)
        part.pictures = self.pictures[:limit]
        kept = {number for number, _ in part.pictures}
        part.truth = self.truth | {
            "images": [image for image in self.truth["images"] if image["id"] in kept],
            "annotations": [one for one in self.truth["annotations"] if one["image_id"] in kept],
        }
        return part

    def category_ids(self, classes: int) -> tuple[int, ...]:
        """The data set's id of each of a model's classes: its ids in order, or those of COCO for 80 classes.

        Raises:
            EspdlError: when there are fewer or more.
        """
        ids = tuple(sorted(category["id"] for category in self.truth["categories"]))
        if len(ids) == classes:
            return ids
        if classes == len(COCO_IDS) and set(ids) <= set(COCO_IDS):
            return COCO_IDS
        raise EspdlError(f"the data has {len(ids)} categories, the model {classes} classes")


def _annotation_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.json"))
    if len(found) != 1:
        raise EspdlError(f"the folder holds {len(found)} JSON files", where=str(path), hint="name the annotation file itself")
    return found[0]


def _checked(content: Any, where: str) -> dict[str, Any]:
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in parts):
        raise EspdlError("the file is no annotation file of COCO", where=where, why="it needs lists of " + ", ".join(parts))
    needed = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id", "bbox"), "categories": ("id",)}
    for part, names in needed.items():
        for entry in content[part]:
            if not isinstance(entry, dict) or any(name not in entry for name in names):
                raise EspdlError(f"an entry of {part!r} lacks one of {', '.join(names)}", where=where)
    known = {image["id"] for image in content["images"]}
    annotations = []
    for number, entry in enumerate(content["annotations"], start=1):
        box = entry["bbox"]
        if entry["image_id"] not in known or not isinstance(box, list) or len(box) != 4:
            raise EspdlError(
                f"annotation {number} is of no picture of the file, or its bbox is not x, y, width, height", where=where
            )
        annotations.append({"iscrowd": 0, "area": box[2] * box[3]} | entry | {"id": number})  # an id of 0 would count as no match
    return content | {"annotations": annotations}


def coco_metrics(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], what: str = "bbox") -> dict[str, float]:
    """Average precision, as the COCO challenge measures it.

    Args:
        truth: the content of an annotation file.
        results: of all pictures, see :meth:`espdl.vision.detect.Detection.to_coco`.
        what: ``bbox``, ``keypoints`` or ``segm``.

    Returns:
        mAP50-95, mAP50 and mAP75, 0..1.

    Raises:
        EspdlError: without pycocotools.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise EspdlError("the metric needs pycocotools", hint="pip install 'espdl[evaluate]'") from None
    if not results:
        return dict.fromkeys(METRICS, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO()
        dataset.dataset = {"info": {}, **truth}
        dataset.createIndex()
        evaluation = COCOeval(dataset, dataset.loadRes([dict(result) for result in results]), what)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: max(0.0, float(evaluation.stats[place])) for name, place in METRICS.items()}
