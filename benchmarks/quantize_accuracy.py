"""How much accuracy quantizing costs on labelled tasks: float, ESP-PPQ as noted beside each task, the preset ``esp_ppq``,
our default, mixed precision, and 16 bits; with the estimated latency and the size of each file.

A task is a folder with ``model.onnx``, ``calib.npz`` (x), ``test.npz`` (x, y) and ``meta.json`` (top-1 in float and of ESP-PPQ per
target). Pictures are uint8 in NHWC and are normalised as ``meta.json`` says. Figures are of the integer run, in both arithmetics.

    python benchmarks/quantize_accuracy.py TASKS [NAME ...]
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.estimate.latency import estimate_latency
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.float_run import FloatRun
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.test_values import from_file, to_file

TARGETS = ("esp32s3", "esp32p4")
SAMPLES = 32


def mixed_setting() -> QuantizationSetting:
    """The default with ``mixed_precision``: at most a quarter more latency."""
    setting = QuantizationSettingFactory.espdl_setting(8)
    setting.mixed_precision = True
    return setting


KINDS = {
    "preset esp_ppq": (8, QuantizationSettingFactory.esp_ppq_setting(8)),
    "default": (8, None),
    "mixed": (8, mixed_setting()),
    "16 bits": (16, None),
}
"""Our settings: the preset ``esp_ppq``, the default, ``--mixed-precision``, and ``--bits 16``."""


def inputs_of(path: Path, meta: dict[str, Any]) -> Any:
    """The arrays of a file as the network takes them."""
    x = np.load(path)["x"]
    if x.dtype == np.uint8 and "mean" in meta:
        mean, std = (np.array(meta[key], np.float32) for key in ("mean", "std"))
        x = ((x.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(x, dtype=np.float32)


def answers(model: QuantizedModel, x: Any, arithmetic: Arithmetic) -> Any:
    """Real outputs [samples, classes] of the integer run."""
    network, stored = model.graph.model.graph, model.lowered.stored
    source, result = stored[network.inputs[0].name or ""], stored[network.outputs[0].name or ""]
    raw = np.concatenate([to_file(sample[None], source, model.graph.chip) for sample in x])
    outputs = model.model(arithmetic=arithmetic).run_many({source.name: raw})[result.name]
    each = np.asarray(outputs).reshape(len(x), *result.shape)
    return np.stack([from_file(one, result).reshape(-1) for one in each])


def top1(outputs: Any, y: Any) -> float:
    """Share of right answers; a row of labels holds all that count, negative ones are none."""
    found = outputs.argmax(axis=1)
    if y.ndim == 1:
        return float((found == y).mean())
    return float(np.mean([answer in labels[labels >= 0] for answer, labels in zip(found, y, strict=True)]))


def snr(reference: Any, outputs: Any) -> float:
    return float(10 * np.log10((reference**2).sum() / max(((reference - outputs) ** 2).sum(), 1e-30)))


def measure(folder: Path) -> list[dict[str, Any]]:
    meta = json.loads((folder / "meta.json").read_text())
    calibration, x, y = (
        inputs_of(folder / "calib.npz", meta),
        inputs_of(folder / "test.npz", meta),
        np.load(folder / "test.npz")["y"],
    )
    rows: list[dict[str, Any]] = []
    reference: Any = None
    samples = [one[None] for one in calibration[:SAMPLES]]
    for target in TARGETS:
        for kind, (bits, setting) in KINDS.items():
            row: dict[str, Any] = {"task": folder.name, "target": target, "kind": kind, "esp_ppq": meta["esp_ppq"].get(target)}
            rows.append(row)
            start = time.perf_counter()
            try:
                model = quantize(folder / "model.onnx", samples, target=target, bits=bits, setting=copy.deepcopy(setting))
            except EspdlError as error:
                row["error"] = str(error).splitlines()[0]
                continue
            row["seconds"] = time.perf_counter() - start
            if reference is None:
                network = model.graph.original
                session = FloatRun(network, [network.graph.outputs[0].name or ""])
                reference = np.stack([next(iter(session.run({session.inputs[0]: one[None]}).values())).reshape(-1) for one in x])
            outputs = answers(model, x, Arithmetic.REFERENCE)
            row["float"], row["top1"], row["snr_db"] = top1(reference, y), top1(outputs, y), snr(reference, outputs)
            row["silicon"] = top1(answers(model, x, Arithmetic.SILICON), y)
            row["agreement"] = float((outputs.argmax(axis=1) == reference.argmax(axis=1)).mean())
            row["latency_ms"], row["bytes"] = estimate_latency(model.model()).model.us / 1000, len(model.data)
            if model.mixed is not None:
                row["mixed"] = model.mixed.to_dict()
    return rows


def line(row: dict[str, Any]) -> str:
    start = f"{row['task']:<22}{row['target']:<9}{row['kind']:<15}"
    if "error" in row:
        return f"{start}  {row['error']}"
    noted = f"{row['esp_ppq']:9.1%}" if row["esp_ppq"] is not None else f"{'fails':>9}"
    figures = f"{row['top1']:8.1%}{row['silicon']:9.1%}{row['agreement']:8.1%}{row['snr_db']:7.1f}"
    return f"{start}{row['float']:8.1%}{noted}{figures}{row['latency_ms']:10.2f}{row['bytes'] / 1024:10.1f}{row['seconds']:7.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    folders = [folder for folder in sorted(arguments.tasks.iterdir()) if (folder / "meta.json").exists()]
    rows = []
    heads = f"{'float':>8}{'ESP-PPQ':>9}{'ours':>8}{'silicon':>9}{'agree':>8}{'dB':>7}{'est. ms':>10}{'KB':>10}{'s':>7}"
    print(f"{'task':<22}{'target':<9}{'setting':<15}{heads}")
    for folder in folders:
        if arguments.names and folder.name not in arguments.names:
            continue
        for row in measure(folder):
            rows.append(row)
            print(line(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
