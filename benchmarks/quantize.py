"""Quantizing a network shaped like MobileNetV2-1.0-224 with 32 images, beside ESP-PPQ in its own virtual environment: seconds and memory.

Run with ``make bench-quantize PPQ_PYTHON=.../bin/python``, a Python that has ``esp-ppq``. Both tools get the same network and the same
images, one after the other, each in processes of its own; weights and images are random, so no outside file is needed. Seconds are by
the clock; the ratio of what all cores together worked stands beside, for machines that are busy with something else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from networks import mobilenet_v2

CHILD = Path(__file__).with_name("quantize_child.py")
ROWS = {
    "ptq": ("post-training quantization", "s", 1 / 5),
    "end to end": ("the same with .espdl, .info, .json", "s", 1 / 10),
    "graphwise": ("graphwise error analysis", "s", None),
    "layerwise": ("layerwise error analysis", "s", 1 / 10),
    "statistics": ("statistics of every tensor", "s", None),
    "executor": ("one image, quantized", "s", None),
    "peak": ("peak memory of quantizing", "MB", 1 / 2),
    "peak of all": ("peak memory with the analyses", "MB", 1 / 2),
    "import": ("importing the package", "s", None),
}
"""By key of the children's results: what it is, its unit, the largest ratio that is aimed for."""


Figures = dict[str, Any]
"""Of one tool, by key: MB, or seconds by the clock (``wall``) and of all cores (``cpu``)."""


def child(python: str, package: str, network: Path, folder: Path, options: list[str]) -> Figures:
    result = folder / f"{package}.json"
    copy = folder / f"{package}.onnx"  # ESP-PPQ writes over the network it is given
    copy.write_bytes(network.read_bytes())
    command = [python, str(CHILD), package, str(copy), str(result), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{package} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(result.read_text())


def table(ours: Figures, theirs: Figures) -> list[Figures]:
    rows = []
    for key, (what, unit, goal) in ROWS.items():
        mine, other, worked = ours.get(key), theirs.get(key), None
        if unit == "s":
            worked = mine["cpu"] / other["cpu"] if mine and other else None
            mine, other = (figures and figures["wall"] for figures in (mine, other))
        ratio = mine / other if mine and other else None
        met = None if ratio is None or goal is None else ratio <= goal
        row = {"what": what, "unit": unit, "espdl": mine, "esp-ppq": other, "ratio": ratio, "cpu ratio": worked, "goal": goal}
        rows.append({**row, "met": met})
    return rows


def show(rows: list[Figures]) -> None:
    def figure(value: float | None, pattern: str = "{:.3f}") -> str:
        return "-" if value is None else pattern.format(value)

    print(f"{'':<38}{'espdl':>9}{'ESP-PPQ':>9}{'':>4}{'ratio':>8}{'of CPU':>8}{'goal':>8}")
    for row in rows:
        pattern = "{:.0f}" if row["unit"] == "MB" else "{:.3f}"
        tools = f"{figure(row['espdl'], pattern):>9}{figure(row['esp-ppq'], pattern):>9} {row['unit']:<3}"
        ratios = "".join(f"{figure(row[key]):>8}" for key in ("ratio", "cpu ratio", "goal"))
        print(f"{row['what']:<38}{tools}{ratios}{ {None: '', True: '  met', False: '  missed'}[row['met']] }")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ppq", metavar="PYTHON", help="interpreter that has esp-ppq; without it only espdl is measured")
    parser.add_argument("--target", default="esp32s3")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()

    def options(images: int) -> list[str]:
        return ["--target", arguments.target, "--images", str(images), "--size", str(arguments.size)]

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        network = folder / "float.onnx"
        onnx.save(mobilenet_v2(arguments.size), network)
        ours = child(sys.executable, "espdl", network, folder, options(arguments.images))
        theirs = child(arguments.ppq, "esp_ppq", network, folder, options(arguments.images)) if arguments.ppq else {}
        counts = (arguments.images, 4 * arguments.images)
        growth = {count: child(sys.executable, "espdl", network, folder, [*options(count), "--memory"]) for count in counts}
    rows = table(ours, theirs)
    print(f"MobileNetV2-1.0-{arguments.size} shape, {arguments.target}, {arguments.images} batches of 1")
    show(rows)
    for key in ("peak", "peak of all"):
        print(f"{ROWS[key][0]}: " + ", ".join(f"{peaks[key]:.0f} MB with {count} images" for count, peaks in growth.items()))
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "system": platform.platform(), "cpus": os.cpu_count()}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "peaks by images": growth}, indent=2) + "\n")


if __name__ == "__main__":
    main()
