"""Ready pipelines, named as the components of ESP-DL's model zoo and with their numbers (runtime spec 7.9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.fbs.loader import Source as ModelSource
from espdl.vision.detect.candidates import Candidates
from espdl.vision.detect.detector import Detector, Finder
from espdl.vision.detect.families import Family
from espdl.vision.detect.outputs import outputs_of
from espdl.vision.detect.placement import Placement
from espdl.vision.detect.records import Detection
from espdl.vision.image import Source, read_image

FACE = ("face",)


class Component(Detector):
    """A detector of one family, with the numbers that its component has on the chip.

    Takes what :class:`Detector` takes, but for ``kind``.

    Attributes:
        kind: of its networks.
        numbers: fields of the family that differ.
        names: of its classes; empty takes COCO's for 80 classes.
    """

    kind: ClassVar[str]
    numbers: ClassVar[Mapping[str, float]] = {}
    names: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Model | ModelSource, *, labels: Sequence[str] | None = None, **options: Any) -> None:
        super().__init__(model, self.kind, labels=labels if labels is not None else self.names or None, **options)

    def adapted(self, family: Family) -> Family:
        return replace(family, **self.numbers)  # type: ignore[arg-type]


class COCODetect(Component):
    """The 80 classes of COCO, by YOLO11. Quirk: the chip's component always uses 0.25 and 0.7, whatever thresholds it is given."""

    kind = "yolo11"


class COCOPose(Component):
    """People and their 17 key points, by YOLO11."""

    kind = "yolo11pose"
    names = ("person",)


class COCOSeg(Component):
    """The 80 classes of COCO with masks, by YOLO11."""

    kind = "yolo11seg"


class YOLO26(Component):
    """The 80 classes of COCO, by YOLO26. Quirk: boxes are in pixels of the model's input, unless ``picture_coordinates`` is set."""

    kind = "yolo26"


class PedestrianDetect(Component):
    """People on foot, by PicoDet."""

    kind = "pico"
    names = ("pedestrian",)


class CatDetect(Component):
    """Cats, by ESPDet."""

    kind = "espdet"
    numbers = {"score_threshold": 0.6}
    names = ("cat",)


class DogDetect(Component):
    """Dogs, by ESPDet."""

    kind = "espdet"
    numbers = {"score_threshold": 0.6}
    names = ("dog",)


class HandDetect(Component):
    """Hands, by ESPDet."""

    kind = "espdet"
    numbers = {"score_threshold": 0.25, "nms_threshold": 0.5}
    names = ("hand",)


class ESPDetFace(Component):
    """Faces, by ESPDet."""

    kind = "espdet"
    names = FACE


class MSR(Component):
    """First stage of finding faces: where they may be."""

    kind = "msr"
    names = FACE


class MNP(Component):
    """Second stage of finding faces: looks at crops, and tells box and key points."""

    kind = "mnp"
    names = FACE

    def look(self, image: Source, crops: Sequence[Sequence[int]]) -> tuple[Detection, ...]:
        """What is found in all of ``crops``, each [x1, y1, x2, y2); boxes that overlap are dropped at the end (spec 7.9)."""
        picture = read_image(image)
        found = []
        for crop in crops:
            self.preprocess(picture, crop)
            self.model.run()
            placement = Placement.of(self.preprocessor.geometry)
            found.append(self.postprocessor.candidates(outputs_of(self.model.get_outputs()), placement))
        if not found:
            return ()
        best = self.postprocessor.picked(Candidates.joined(found))
        return self.labelled(self.postprocessor.records(best.clipped(picture.width, picture.height)))


class HumanFaceDetect:
    """Faces: by MSR and MNP, which tells five key points, or by ESPDet.

    Args:
        model: MSR's or ESPDet's, as :class:`Detector` takes it.
        second: MNP's, when ``model`` is MSR's.
        score_threshold, nms_threshold, top_k: of both stages.
        options: further arguments of :class:`Detector`.

    Raises:
        EspdlError: when a model is not what it should be.
    """

    def __init__(self, model: Model | ModelSource, second: Model | ModelSource | None = None, **options: Any) -> None:
        self._finder: Finder
        if second is None:
            self._finder = ESPDetFace(model, **options)
        else:
            self._finder = MSRMNP(MSR(model, **options), MNP(second, **options))

    def run(self, image: Source) -> tuple[Detection, ...]:
        """Faces, best first. Raises :class:`EspdlError` for a picture that cannot be read."""
        return self._finder.run(image)


class MSRMNP:
    """Two stages: every box of the first is made square, and looked at by the second."""

    def __init__(self, first: MSR, second: MNP) -> None:
        self.first, self.second = first, second

    def run(self, image: Source) -> tuple[Detection, ...]:
        """Faces, best first. Raises :class:`EspdlError` for a picture that cannot be read."""
        picture = read_image(image)
        squares = [square(found.box, picture.width, picture.height) for found in self.first.run(picture)]
        return self.second.look(picture, [(x1, y1, x2, y2) for x1, y1, x2, y2 in squares if x1 < x2 and y1 < y2])


def square(box: Sequence[int], width: int, height: int) -> tuple[int, int, int, int]:
    """A box as a square about its middle, as long as its longer side, clipped to a picture (spec 7.9)."""
    x1, y1, x2, y2 = box
    side = max(x2 - x1, y2 - y1)
    left, top = ((x1 + x2) >> 1) - (side >> 1), ((y1 + y2) >> 1) - (side >> 1)
    corners = (left, top, left + side, top + side)
    return (
        min(max(corners[0], 0), width - 1),
        min(max(corners[1], 0), height - 1),
        min(max(corners[2], 0), width - 1),
        min(max(corners[3], 0), height - 1),
    )


def open_detector(
    model: Model | ModelSource, kind: str | None = None, second: Model | ModelSource | None = None, **options: Any
) -> Finder:
    """A detector for a model of any family; boxes are in pixels of the picture.

    Args:
        model: as :class:`Detector` takes it.
        kind: of the family, or ``msr+mnp``; None takes that whose outputs the model has.
        second: the second stage's model, for ``msr+mnp``.
        options: further arguments of :class:`Detector`.

    Raises:
        EspdlError: for a second model where there is no second stage, or none where there is one.
    """
    numbers = ("labels", "score_threshold", "nms_threshold", "top_k", "picture_coordinates", "resampling")
    loading = {name: options.pop(name) for name in list(options) if name not in numbers}
    opened = model if isinstance(model, Model) else Model(model, **loading)
    detector = Detector(opened, "msr" if kind == "msr+mnp" else kind, picture_coordinates=True, **options)
    if detector.family.postprocessor.kind == "mnp":
        raise EspdlError(
            "the model is a second stage (mnp)", hint="give the first stage (msr) as the model and this one as second"
        )
    if detector.family.postprocessor.kind != "msr":
        if second is not None:
            raise EspdlError(f"there is no second stage with {detector.family.postprocessor.kind}", hint="give one model only")
        return detector
    if second is None:
        raise EspdlError(
            "the model is a first stage (msr) only", hint="give the second stage too: --second human_face_detect_mnp_s8_v1.espdl"
        )
    return MSRMNP(MSR(opened, **options), MNP(second, **loading, **options))
