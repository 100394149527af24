"""Outputs of small networks: quiet ones, into which a test writes what is to be found, and noisy ones."""

from __future__ import annotations

import numpy as np

from espdl.vision.detect.espdet import ESPDetPostprocessor
from espdl.vision.detect.mnp import MNPPostprocessor
from espdl.vision.detect.msr import MSRPostprocessor
from espdl.vision.detect.pico import PicoPostprocessor
from espdl.vision.detect.yolo11 import Yolo11Postprocessor
from espdl.vision.detect.yolo11pose import Yolo11PosePostprocessor
from espdl.vision.detect.yolo11seg import Yolo11SegPostprocessor
from espdl.vision.detect.yolo26 import Yolo26Postprocessor

POSTPROCESSORS = {
    type_.kind: type_
    for type_ in (
        MSRPostprocessor,
        MNPPostprocessor,
        PicoPostprocessor,
        ESPDetPostprocessor,
        Yolo11Postprocessor,
        Yolo11PosePostprocessor,
        Yolo11SegPostprocessor,
        Yolo26Postprocessor,
    )
}
QUIET = {"score": -40, "bbox": 0, "box": 0, "kpt": 0, "mc": 0, "p": 0, "one2one": -40, "landmark": 0}


def shapes(kind, classes=3, side=4):
    """Shapes of a family's outputs: the finest cells are ``side`` x ``side``."""
    sides = [side, side // 2, side // 4]
    if kind == "msr":
        return {f"{name}{i}": (1, sides[i], sides[i], n * 2) for i in range(2) for name, n in (("score", 1), ("box", 4))}
    if kind == "mnp":
        return {"score": (1, 1, 1, 2), "box": (1, 1, 1, 4), "landmark": (1, 1, 1, 10)}
    if kind == "yolo26":
        named = {}
        for level, s in enumerate(sides, start=3):
            named |= {f"one2one_p{level}_cls": (1, s, s, classes), f"one2one_p{level}_box": (1, s, s, 4)}
        return named
    per_cell = {
        "pico": {"score": classes, "bbox": 32},
        "espdet": {"score": classes, "box": 4},
        "yolo11": {"score": classes, "box": 64},
        "yolo11pose": {"score": 1, "box": 64, "kpt": 51},
        "yolo11seg": {"score": classes, "box": 64, "mc": 32},
    }[kind]
    named = {f"{name}{i}": (1, s, s, n) for i, s in enumerate(sides) for name, n in per_cell.items()}
    return named | ({"p": (1, 2 * side, 2 * side, 32)} if kind == "yolo11seg" else {})


def quiet(kind, exponent=-3, classes=3):
    """Arrays and exponents in which nothing is found."""
    arrays = {name: np.zeros(shape, np.int8) for name, shape in shapes(kind, classes).items()}
    for name in arrays:
        if name.startswith("score") or name.endswith("_cls"):
            arrays[name][...] = -40
    return arrays, dict.fromkeys(arrays, exponent)


def noisy(kind, seed, dtype=np.int8, classes=3):
    """Arrays of random values, with a random exponent each."""
    random = np.random.Generator(np.random.PCG64(seed))
    limits = np.iinfo(dtype)
    arrays = {n: random.integers(limits.min, limits.max + 1, s).astype(dtype) for n, s in shapes(kind, classes).items()}
    wide = 8 if dtype == np.int16 else 0
    exponents = {name: int(random.integers(-6, -2)) - wide for name in arrays}
    if kind == "pico":  # squares of scores
        for name in arrays:
            if name.startswith("score"):
                arrays[name], exponents[name] = np.abs(arrays[name].astype(int)).clip(0, limits.max).astype(dtype), -7 - wide
    return arrays, exponents
