"""``Detector``: from a picture to records, with the numbers of the chip on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.fbs.loader import Source as ModelSource
from espdl.tensor import TensorBase
from espdl.vision.detect.families import Family, family_named, guess_family
from espdl.vision.detect.labels import COCO_LABELS
from espdl.vision.detect.outputs import Output, outputs_of
from espdl.vision.detect.placement import Placement
from espdl.vision.detect.postprocessor import DetectPostprocessor
from espdl.vision.detect.records import Detection
from espdl.vision.detect.yolo26 import Yolo26Postprocessor, into_picture
from espdl.vision.image import ImagePreprocessor, Resampling, Source, read_image


class Finder(Protocol):
    """What finds things in pictures, whether with one network or two."""

    def run(self, image: Source) -> tuple[Detection, ...]:
        """What was found in a picture. Raises :class:`EspdlError` for one that cannot be read."""
        ...


class Detector:
    """One network that finds things in pictures.

    Args:
        model: an .espdl file, its bytes, or a Model that is ready to run.
        kind: the family of the network (``yolo11``, ``espdet`` ...); None takes that whose outputs it has.
        score_threshold, nms_threshold, top_k: see :class:`DetectPostprocessor`; None takes the family's.
        labels: names of the classes; None takes COCO's for 80 classes, and "person" for the one class of poses.
        picture_coordinates: YOLO26's boxes are in pixels of the model's input, as on the chip; True brings them into the picture, best
            first. Those of other families are in the picture anyhow.
        resampling: how pictures are resized. A chip does NEAREST, the default.
        options: further arguments of Model: target, arithmetic, backend ...

    Attributes:
        model, preprocessor, postprocessor: its parts.

    Raises:
        EspdlError: for a file that cannot be read, and a model whose outputs are not those of the family; names the output.
    """

    def __init__(
        self,
        model: Model | ModelSource,
        kind: str | None = None,
        *,
        score_threshold: float | None = None,
        nms_threshold: float | None = None,
        top_k: int | None = None,
        labels: Sequence[str] | None = None,
        picture_coordinates: bool = False,
        resampling: Resampling | str = Resampling.NEAREST,
        **options: Any,
    ) -> None:
        self.model = model if isinstance(model, Model) else Model(model, **options)
        outputs = outputs_of(self.model.get_outputs())
        family = guess_family(outputs) if kind is None else family_named(kind)
        height, width = picture_size(self.model)
        family.postprocessor.check_input(outputs, height, width)
        self.family = self.adapted(family)
        self.preprocessor = ImagePreprocessor(self.model, 0, self.family.std, self.family.bgr, resampling=resampling)
        if self.family.letterbox is not None:
            self.preprocessor.enable_letterbox(self.family.letterbox)
        self.postprocessor: DetectPostprocessor = self.family.postprocessor(
            self.family.score_threshold if score_threshold is None else score_threshold,
            self.family.nms_threshold if nms_threshold is None else nms_threshold,
            self.family.top_k if top_k is None else top_k,
            self.model.chip.rounding,
        )
        self.classes = outputs[self.postprocessor.scores[0]].channels
        known = (
            COCO_LABELS
            if self.classes == len(COCO_LABELS)
            else self.family.names
            if self.classes == len(self.family.names)
            else ()
        )
        self.labels = known if labels is None else tuple(labels)
        self.picture_coordinates = picture_coordinates

    def adapted(self, family: Family) -> Family:
        """The family with the numbers of a component of its own. Raises :class:`EspdlError` for a family that does not fit."""
        return family

    def preprocess(self, image: Source, crop: Sequence[int] | None = None) -> TensorBase:
        """Fills the model's input with a picture, or the part [x1, y1, x2, y2) of it."""
        return self.preprocessor.preprocess(image, crop)

    def postprocess(self, outputs: Mapping[str, Output] | None = None) -> tuple[Detection, ...]:
        """What the model's outputs, or those given, say about the picture that was preprocessed last."""
        geometry = self.preprocessor.geometry
        placement, size = Placement.of(geometry), (geometry.source_width, geometry.source_height)
        given = outputs_of(self.model.get_outputs()) if outputs is None else outputs
        found = self.postprocessor.postprocess(given, placement, size)
        if self.picture_coordinates and isinstance(self.postprocessor, Yolo26Postprocessor):
            found = into_picture(found, placement, size)
        return self.labelled(found)

    def labelled(self, found: Sequence[Detection]) -> tuple[Detection, ...]:
        """Records with the names of their classes."""
        named = self.labels
        return tuple(replace(one, label=named[one.category]) if one.category < len(named) else one for one in found)

    def run(self, image: Source) -> tuple[Detection, ...]:
        """What was found in a picture, best first (YOLO26: in the order of the cells).

        Args:
            image: an Image, a Pillow picture, uint8 pixels, the path of a picture file, or its bytes.

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        self.preprocess(read_image(image))
        self.model.run()
        return self.postprocess()


def picture_size(model: Model) -> tuple[int, int]:
    """Height and width of the pictures that a model takes. Raises :class:`EspdlError` when its input is none."""
    shape = model.get_input().shape
    if len(shape) != 4:
        raise EspdlError(f"an input of shape {shape} takes no pictures", why="a picture is [1, height, width, channels]")
    return shape[1], shape[2]
