"""What the examples share: networks of well-known shapes with random weights, and pictures that need no download."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))
networks = importlib.import_module("networks")


def arguments(description: str | None, target: str, size: int = 0) -> argparse.ArgumentParser:
    """The options that every example has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("example-output"), help="directory to write to")
    parser.add_argument("--target", default=target, help="chip: c, esp32s3, esp32p4 ...")
    if size:
        parser.add_argument("--size", type=int, default=size, help="side of the network's input, in pixels")
        parser.add_argument("--photos", type=Path, help="calibration pictures; without it some are drawn")
        parser.add_argument("--steps", type=int, default=32, help="calibration batches")
    return parser


def photos(given: Path | None, folder: Path, count: int, size: int) -> Path:
    """The folder ``given``, or ``folder`` with ``count`` pictures of coloured noise at several scales, about ``size`` pixels large."""
    if given is not None:
        return given
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = np.zeros((size, size * 4 // 3, 3))
        for cells in (3, 12, size):
            noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8)).resize(pixels.shape[1::-1])
            pixels += np.asarray(noise, np.float64) / 3
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:04}.png")
    return folder


def name_outputs(network: onnx.ModelProto, *parts: str) -> onnx.ModelProto:
    """Names the outputs of a detector as ESP-DL's postprocessors look for them: box0, score0, box1 ... Changes the network in place."""
    new = (f"{part}{level}" for level in range(3) for part in parts)
    names = dict(zip((value.name for value in network.graph.output), new, strict=True))
    for node in network.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in network.graph.output:
        value.name = names[value.name]
    return network
