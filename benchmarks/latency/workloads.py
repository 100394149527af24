"""Workloads of the published models: from their files, or from a smaller one of the same network, or from the literature.

``python benchmarks/latency/workloads.py DIR`` reads the .espdl files below DIR (the models of ESP-DL, sorted into one folder per chip) and
writes ``workloads.json`` beside this script, so that the fit can be run again without them.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from espdl.dl import Model
from espdl.estimate.workload import Elements, Product, Work, workload

HERE = Path(__file__).parent
FILE = HERE / "workloads.json"

FROM_FILES = {
    "msr": "esp32p4/human_face_detect_msr_s8_v1",
    "mnp": "esp32p4/human_face_detect_mnp_s8_v1",
    "espdet_224": "esp32p4/espdet_pico_224_224_face",
    "yolo11n_pose_640": "esp32s3/coco_pose_yolo11n_pose_s8_v2",
    "yolo11n_seg_640": "esp32p4/coco_seg_yolo11n_seg_s8_v1",
    "mobilenetv2": "esp32p4/imagenet_cls_mobilenetv2_s8_v1",
    "pp_ocr_det": "esp32p4/pp_ocr_v6_det_s8",
    "pp_ocr_rec_s8": "esp32p4/pp_ocr_v6_rec_s8",
    "sv_tdnn": "esp32p4/sv_tdnn_tiny_3s",
}
RESHAPED = {"espdet_416": ("esp32p4/espdet_pico_224_224_face", (1, 416, 416, 3))}
SCALED = {
    "yolo11n_640": ("esp32p4/coco_detect_yolo11n_320_s8_v1", 4.0, 100),
    "yolo26n_640": ("esp32p4/yolo26n_512_s8_p4", 1.5625, 256),
    "pp_ocr_rec_s16_640": ("esp32p4/pp_ocr_v6_rec_s16", 2.0, 0),
}
"""File of the same network for a smaller picture, how many times more pixels the published one has, and the tokens of its attention:
these networks hold shapes for one size of picture only."""

Entry = list[Any]


def scaled(work: Work, factor: float, tokens: int) -> Work:
    """The work of a node on ``factor`` times as many pixels; of attention, queries and keys grow."""

    def grown(product: Product) -> Product:
        if product.constant:
            return replace(product, pixels=product.pixels * factor)
        sizes = [size * (factor if size == tokens else 1.0) for size in (product.pixels, product.depth, product.outputs)]
        pixels, depth, outputs = sizes[0], round(sizes[1]), round(sizes[2])
        return replace(product, pixels=pixels, depth=depth, outputs=outputs, filter_bytes=depth * outputs * product.itemsize)

    elements = list(astuple(work.elements))
    scores = work.op_type in ("Softmax", "QuantizeLinear", "Transpose") and tokens and 2 * tokens**2 in elements
    area = factor**2 if scores else factor
    return replace(
        work,
        products=tuple(grown(product) for product in work.products),
        elements=Elements(*(count * area for count in elements)),
        read_bytes=work.read_bytes * area,
        written_bytes=work.written_bytes * area,
        input_height=work.input_height * factor**0.5,
        input_width=work.input_width * factor**0.5,
    )


def mobilefacenet(scale: int = 2, embedding: int = 512) -> Iterator[Work]:
    """MobileFaceNet for 112 x 112 pixels with ``scale`` times the channels: 0.9 GFLOP with 2, as the published model has."""

    def conv(
        side: int, kernel: int, inputs: int, outputs: int, *, stride: int = 1, depthwise: bool = False, prelu: bool = True
    ) -> Iterator[Work]:
        result = side // stride if side > 1 else 1
        depth = 1 if depthwise else inputs
        product = Product(result**2, kernel**2, depth, outputs, depthwise, 1, kernel**2 * depth * outputs)
        reach = kernel
        yield Work("", "Conv", (product,), Elements(), side**2 * inputs, result**2 * outputs, 0, 0, side, reach, side)
        if prelu:
            size = result**2 * outputs
            yield Work("", "PRelu", (), Elements(vector_bytes=size), size, size)

    def bottleneck(side: int, inputs: int, outputs: int, middle: int, stride: int = 1) -> Iterator[Work]:
        yield from conv(side, 1, inputs, middle)
        yield from conv(side, 3, middle, middle, stride=stride, depthwise=True)
        yield from conv(side // stride, 1, middle, outputs, prelu=False)
        if stride == 1:
            size = side**2 * outputs
            yield Work("", "Add", (), Elements(vector_bytes=size), 2 * size, size)

    narrow, wide = 64 * scale, 128 * scale
    yield from conv(112, 3, 3, narrow, stride=2)
    yield from conv(56, 3, narrow, narrow, depthwise=True)
    yield from bottleneck(56, narrow, narrow, 128, 2)
    for _ in range(4):
        yield from bottleneck(28, narrow, narrow, 128)
    yield from bottleneck(28, narrow, wide, 256, 2)
    for _ in range(6):
        yield from bottleneck(14, wide, wide, 256)
    yield from bottleneck(14, wide, wide, 512, 2)
    for _ in range(2):
        yield from bottleneck(7, wide, wide, 256)
    yield from conv(7, 1, wide, 512)
    yield from conv(7, 7, 512, 512, stride=7, depthwise=True, prelu=False)
    yield from conv(1, 1, 512, embedding, prelu=False)


def kernel_work(row: dict[str, Any]) -> Work:
    """One row of the published table of convolutions."""
    (height, width, depth), (kh, kw, outputs), pad, stride = row["input"], row["filter"], row["pad"], row["stride"]
    rows, columns = (height + 2 * pad - kh) // stride[0] + 1, (width + 2 * pad - kw) // stride[1] + 1
    inner = 1 if row["depthwise"] else depth
    product = Product(rows * columns, kh * kw, inner, outputs, row["depthwise"], 1, kh * kw * inner * outputs)
    return Work("", "Conv", (product,), Elements(), height * width * depth, rows * columns * outputs, 0, 0, height, kh, width)


def to_entries(works: Sequence[Work]) -> list[Entry]:
    """Nodes as lists, equal ones once with their number; names are left out."""
    counts = Counter(replace(work, name="") for work in works)
    return [[count, *_listed(astuple(work)[1:])] for work, count in counts.items()]


def from_entries(entries: Sequence[Entry]) -> list[Work]:
    return [
        Work("", op_type, tuple(Product(*product) for product in products), Elements(*elements), *rest)
        for count, op_type, products, elements, *rest in entries
        for _ in range(count)
    ]


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, (tuple, list)) else value


def load() -> dict[str, list[Work]]:
    """All workloads by name."""
    return {name: from_entries(entry["nodes"]) for name, entry in json.loads(FILE.read_text(encoding="utf-8")).items()}


def build(models: Path) -> dict[str, tuple[str, list[Work]]]:
    """Source in words and nodes of every workload, from the files below ``models``."""

    def read(stem: str, shape: tuple[int, ...] | None = None) -> list[Work]:
        path = models / f"{stem}.espdl"
        model = Model(path, target=path.parent.name)
        if shape is not None:
            model.build(input_shapes={next(iter(model.get_inputs())): shape})
        return workload(model)

    found = {name: (f"{stem}.espdl", read(stem)) for name, stem in FROM_FILES.items()}
    for name, (stem, shape) in RESHAPED.items():
        found[name] = (f"{stem}.espdl at {shape[1]} x {shape[2]}", read(stem, shape))
    for name, (stem, factor, tokens) in SCALED.items():
        found[name] = (f"{stem}.espdl, {factor:g} times the pixels", [scaled(work, factor, tokens) for work in read(stem)])
    found["mobilefacenet"] = ("layers of MobileFaceNet, twice the channels", list(mobilefacenet()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, help="folder with one folder of .espdl files per chip")
    found = build(parser.parse_args().models)
    lines = [
        f'{json.dumps(name)}: {{"source": {json.dumps(source)}, "nodes": [\n'
        + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in to_entries(works))
        + "]}"
        for name, (source, works) in found.items()
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    for name, (source, works) in found.items():
        print(f"{name:20} {sum(work.macs for work in works) / 1e6:8.1f} M products  {source}")


if __name__ == "__main__":
    main()
