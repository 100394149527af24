"""Postprocessing of detectors: outputs of an input of 640 x 640 pixels to records, in milliseconds on one thread.

Most cells are quiet, as in a photo; 200 of them propose something near one of ten places.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect import (
    DetectPostprocessor,
    ESPDetPostprocessor,
    PicoPostprocessor,
    Placement,
    Yolo11PosePostprocessor,
    Yolo11Postprocessor,
    Yolo11SegPostprocessor,
    Yolo26Postprocessor,
    outputs_of,
)

SIDE, PLACES, PROPOSALS = 640, 10, 200
NAMES = {
    "pico": ("score{}", {"score{}": 1, "bbox{}": 32}),
    "espdet": ("score{}", {"score{}": 1, "box{}": 4}),
    "yolo11": ("score{}", {"score{}": 80, "box{}": 64}),
    "yolo11pose": ("score{}", {"score{}": 1, "box{}": 64, "kpt{}": 51}),
    "yolo11seg": ("score{}", {"score{}": 80, "box{}": 64, "mc{}": 32}),
    "yolo26": ("one2one_p{}_cls", {"one2one_p{}_cls": 80, "one2one_p{}_box": 4}),
}


def arrays_of(kind: str, random: np.random.Generator) -> dict[str, NDArray[np.int8]]:
    scores, channels = NAMES[kind]
    first = 3 if kind == "yolo26" else 0
    arrays = {
        name.format(first + index): random.integers(-60, 60, (1, SIDE // stride, SIDE // stride, count)).astype(np.int8)
        for index, stride in enumerate((8, 16, 32))
        for name, count in channels.items()
    }
    for index in range(3):
        array = arrays[scores.format(first + index)]
        array[...] = random.integers(-100, -30, array.shape)
    if kind == "yolo11seg":
        arrays["p"] = random.integers(-60, 60, (1, SIDE // 4, SIDE // 4, 32)).astype(np.int8)
    fine = arrays[scores.format(first)]
    for y, x in random.integers(4, SIDE // 8 - 4, (PLACES, 2)):
        for dy, dx in random.integers(-2, 3, (PROPOSALS // PLACES, 2)):
            fine[0, y + dy, x + dx, random.integers(fine.shape[3])] = random.integers(1, 60)
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    placement = Placement(np.float32(0.84375), np.float32(0.84375), 80, 0)
    types: list[type[DetectPostprocessor]] = [
        PicoPostprocessor,
        ESPDetPostprocessor,
        Yolo11Postprocessor,
        Yolo11PosePostprocessor,
        Yolo11SegPostprocessor,
        Yolo26Postprocessor,
    ]
    figures = {}
    for type_ in types:
        arrays = arrays_of(type_.kind, np.random.Generator(np.random.PCG64(0)))
        outputs = outputs_of(arrays, dict.fromkeys(arrays, -4))
        made = type_(0.25)
        count = len(made.postprocess(outputs, placement, (405, 540)))
        times = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            made.postprocess(outputs, placement, (405, 540))
            times.append((time.perf_counter() - start) * 1e3)
        figures[type_.kind] = {"min_ms": min(times), "median_ms": statistics.median(times), "records": count}
        print(f"{type_.kind:<12} {min(times):8.3f} ms   median {statistics.median(times):8.3f} ms   {count} records")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
