"""Average precision of a detector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.progress import track
from espdl.vision.detect import Detection, Detector, Output, Yolo26Postprocessor, outputs_of
from espdl.vision.evaluate.coco import CocoData, coco_metrics
from espdl.vision.evaluate.float_network import FloatNetwork, Pixels
from espdl.vision.image import read_image


@dataclass(frozen=True)
class DetectionAccuracy:
    """Average precision by name, 0..1.

    Attributes:
        pictures: how many there were.
        what: what was compared: ``bbox``, ``keypoints`` or ``segm``.
        metrics: of the integer file.
        float_metrics: of the float network; None without.
        results: of the integer file, as entries of a COCO result file.
    """

    pictures: int
    what: str
    metrics: Mapping[str, float]
    float_metrics: Mapping[str, float] | None
    results: tuple[dict[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Without the results."""
        return {name: value for name, value in asdict(self).items() if name != "results"}


def evaluate_detector(
    detector: Detector, data: CocoData, network: FloatNetwork | None = None, what: str = "bbox"
) -> DetectionAccuracy:
    """Runs a detector on annotated pictures.

    Args:
        detector: with thresholds low enough for the metric, which ranks by score; YOLO26's with ``picture_coordinates``.
        data: the pictures.
        network: the float network to put beside it. It has the file's outputs under the same names, channels first, and gets the same
            pixels; its outputs go through the same postprocessor.
        what: ``bbox``, ``keypoints`` or ``segm``.

    Raises:
        EspdlError: for pictures that cannot be read, and outputs that do not fit.
    """
    if isinstance(detector.postprocessor, Yolo26Postprocessor) and not detector.picture_coordinates:
        raise EspdlError("the detector's boxes are not in the pictures", hint="make it with picture_coordinates=True")
    ids = data.category_ids(detector.classes)
    pixels = Pixels(detector.preprocessor)
    cells = {name: tensor.shape for name, tensor in detector.model.get_outputs().items()}
    results: list[dict[str, Any]] = []
    float_results: list[dict[str, Any]] = []
    for number, file in track(data.pictures, "evaluating", len(data.pictures)):
        picture = read_image(file)
        size = (picture.width, picture.height)
        results += entries(detector.run(picture), number, ids, size, what)
        if network is not None:
            outputs = float_outputs(network.run_pixels(pixels.of(picture), pixels.mean, pixels.std), cells)
            float_results += entries(detector.postprocess(outputs), number, ids, size, what)
    return DetectionAccuracy(
        len(data.pictures),
        what,
        coco_metrics(data.truth, results, what),
        coco_metrics(data.truth, float_results, what) if network is not None else None,
        tuple(results),
    )


def entries(
    found: Iterable[Detection], number: int, ids: Sequence[int], size: tuple[int, int], what: str
) -> list[dict[str, Any]]:
    """Records of one picture as entries of a result file; what has no mask does not count among masks."""
    return [one.to_coco(number, ids, size) for one in found if what != "segm" or one.mask is not None]


def float_outputs(arrays: Mapping[str, NDArray], shapes: Mapping[str, list[int]]) -> dict[str, Output]:
    """Outputs of the float network, channels last like the file's.

    Args:
        arrays: by name, channels first or last.
        shapes: of the file's outputs, by name.

    Raises:
        EspdlError: naming the output that the float network lacks, or has with another shape.
    """
    ordered = {}
    for name, shape in shapes.items():
        if name not in arrays:
            raise EspdlError(
                f"the float network has no output {name!r}",
                why="its outputs are " + ", ".join(arrays),
                hint="give the network that the file was made from",
            )
        array = arrays[name]
        moved = np.moveaxis(array, 1, -1) if array.ndim > 2 else array
        fitting = [one for one in (moved, array) if list(one.shape) == list(shape)]
        if not fitting:
            raise EspdlError(f"output {name!r} of the float network is {list(array.shape)}, that of the file {list(shape)}")
        ordered[name] = fitting[0]
    return outputs_of(ordered)
