"""Preprocessing of pictures: 640 x 480 pixels in memory to the int8 input of a model, in milliseconds.

Times are minima and medians on one thread. The model does nothing, so that its input is all there is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from espdl.dl import Model
from espdl.dtypes import DType
from espdl.fbs import records, wrap_model, write_model
from espdl.vision.image import Image, ImagePreprocessor, PixelType

WIDTH, HEIGHT = 640, 480
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
PLAIN = ((0.0,), (255.0,))


def model_for(side: int) -> Model:
    value = [records.ValueInfo(name, DType.INT8, (1, side, side, 3), (-7,)) for name in ("x", "y")]
    graph = records.Graph("nothing", [records.Node("Identity", "/node", ["x"], ["y"], [])], [], value[:1], value[1:], value)
    return Model(wrap_model(write_model(records.Model(graph, metadata_props={"target": "esp32s3"}))))


def milliseconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times), statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    random = np.random.Generator(np.random.PCG64(0))
    figures: dict[str, dict[str, float]] = {}

    def take(name: str, side: int, pix_type: PixelType, norm: tuple, letterbox: bool, resampling: str = "nearest") -> None:
        pixels = random.integers(0, 256, (HEIGHT, WIDTH, pix_type.elements), dtype=np.uint8)
        preprocessor = ImagePreprocessor(model_for(side), *norm, resampling=resampling)
        if letterbox:
            preprocessor.enable_letterbox(114)
        image = Image(pixels, pix_type)
        least, median = milliseconds(lambda: preprocessor.preprocess(image), options.repeats)
        figures[name] = {"min_ms": least, "median_ms": median}
        print(f"{name:<44} {least:8.3f} ms   median {median:8.3f} ms")

    take("RGB888 to 320, one mean", 320, PixelType.RGB888, PLAIN, False)
    take("RGB888 to 320, one mean, letterbox", 320, PixelType.RGB888, PLAIN, True)
    take("RGB888 to 320, mean per channel", 320, PixelType.RGB888, IMAGENET, False)
    take("RGB565LE to 320, mean per channel", 320, PixelType.RGB565LE, IMAGENET, False)
    take("YUYV to 320, mean per channel", 320, PixelType.YUYV, IMAGENET, False)
    take("RGB888 to 640, letterbox", 640, PixelType.RGB888, PLAIN, True)
    take("RGB888 to 320, antialiased", 320, PixelType.RGB888, PLAIN, False, "antialiased")
    take("RGB888 to 320, bilinear", 320, PixelType.RGB888, PLAIN, False, "bilinear")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
