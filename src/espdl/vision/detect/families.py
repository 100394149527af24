"""The families of networks: what each takes and gives, as ESP-DL's components have it (runtime spec 7.9), and which one a model is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from espdl.errors import EspdlError
from espdl.vision.detect.espdet import ESPDetPostprocessor
from espdl.vision.detect.mnp import MNPPostprocessor
from espdl.vision.detect.msr import MSRPostprocessor
from espdl.vision.detect.outputs import Output
from espdl.vision.detect.pico import PicoPostprocessor
from espdl.vision.detect.postprocessor import DetectPostprocessor
from espdl.vision.detect.yolo11 import Yolo11Postprocessor
from espdl.vision.detect.yolo11pose import Yolo11PosePostprocessor
from espdl.vision.detect.yolo11seg import Yolo11SegPostprocessor
from espdl.vision.detect.yolo26 import Yolo26Postprocessor
from espdl.wording import nearest


@dataclass(frozen=True)
class Family:
    """How a network is fed and read.

    Attributes:
        postprocessor: what decodes its outputs.
        score_threshold, nms_threshold, top_k: its defaults.
        std: of pixels in 0..255; the mean is 0.
        bgr: whether blue comes first.
        letterbox: gray value around pictures that keep their proportions; None stretches them.
        names: of the classes, where the family has always the same.
    """

    postprocessor: type[DetectPostprocessor]
    score_threshold: float
    nms_threshold: float
    top_k: int = 10
    std: float = 255
    bgr: bool = False
    letterbox: int | None = 114
    names: tuple[str, ...] = ()


FAMILIES = {
    family.postprocessor.kind: family
    for family in (
        Family(Yolo11SegPostprocessor, 0.25, 0.7),
        Family(Yolo11PosePostprocessor, 0.25, 0.7, names=("person",)),
        Family(Yolo11Postprocessor, 0.25, 0.7),
        Family(ESPDetPostprocessor, 0.5, 0.7),
        Family(PicoPostprocessor, 0.7, 0.5, std=1, letterbox=None),
        Family(MSRPostprocessor, 0.5, 0.5, std=1, bgr=True, letterbox=None),
        Family(MNPPostprocessor, 0.5, 0.5, std=1, bgr=True, letterbox=None),
        Family(Yolo26Postprocessor, 0.25, 1.0, top_k=32),
    )
}
"""By kind. Those with more outputs come before those that have some of the same."""


def family_named(kind: str) -> Family:
    """A family by the name of its kind. Raises :class:`EspdlError` for an unknown one."""
    if kind not in FAMILIES:
        raise EspdlError(f"there is no type {kind!r}", hint=nearest(kind, FAMILIES) or "known are " + ", ".join(FAMILIES))
    return FAMILIES[kind]


def guess_family(outputs: Mapping[str, Output]) -> Family:
    """The family whose outputs a model has.

    Raises:
        EspdlError: when it is of none; names the outputs.
    """
    for family in FAMILIES.values():
        try:
            family.postprocessor.check(outputs)
        except EspdlError:
            continue
        return family
    described = ", ".join(f"{name} {list(output.values.shape)}" for name, output in outputs.items())
    raise EspdlError(
        "the model's outputs are those of no detector that is known",
        why=f"they are {described or 'none'}",
        hint="say --type NAME (in Python: kind) to see which output does not fit",
    )
