"""Training a quantization: seconds beside ESP-PPQ, what it brings on labelled tasks, and whether the file answers as what was trained.

    python benchmarks/train.py --ppq .../bin/python --tasks TASKS
    python benchmarks/train.py --only hard

Sections: ``tqt`` trains a network shaped like MobileNetV2-1.0-224, with random weights and 32 random images, in both tools; ``executor``
runs single images of it; ``tasks`` are folders as of ``quantize_accuracy.py``; ``hard`` is a network made hard on purpose; ``cuda`` is
``tqt`` on a GPU. What is measured runs in processes of its own. A section that lacks its tool, data or device is left out, and says so.
Exit status 1: a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
from networks import mobilenet_v2
from summary import processor

HERE = Path(__file__).parent
SECTIONS = ("tqt", "executor", "tasks", "hard", "cuda")
TIME_LIMIT, EXECUTOR_LIMIT, CUDA_LIMIT = 1 / 3, 1.0, 1 / 10
NOISE_DB = 1.0
"""Between the signal to noise of a training on the GPU and one on the CPU."""


@dataclass(frozen=True)
class Row:
    """One figure of a section.

    Attributes:
        limit: in words; empty where there is none.
        met: whether it is reached; None without a limit.
    """

    section: str
    what: str
    figure: str
    limit: str = ""
    met: bool | None = None


class Bench:
    """Runs the children.

    Args:
        options: of the command line.
        folder: for their files.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.raw: dict[str, Any] = {}
        self._network = folder / "float.onnx"
        self._kept: dict[tuple[str, ...], dict[str, Any]] = {}

    def _run(self, python: str, script: str, *arguments: str) -> dict[str, Any] | list[Any]:
        result = self.folder / "result.json"
        threads = str(self.options.threads)
        command = [python, str(HERE / script), *arguments, "--target", self.options.target, "--threads", threads]
        command = [str(result) if part == "RESULT" else part for part in command]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": threads})
        if done.returncode:
            sys.exit(f"{script} {' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return json.loads(result.read_text())

    def tool(self, package: str, section: str, device: str = "cpu") -> dict[str, Any]:
        """Figures of one tool; of the same run if it was done already."""
        key = package, section, device
        if key not in self._kept:
            if not self._network.exists():
                onnx.save(mobilenet_v2(self.options.size), self._network)
            copy = self.folder / f"{package}.onnx"  # ESP-PPQ writes over the network it is given
            copy.write_bytes(self._network.read_bytes())
            python = self.options.ppq if package == "esp_ppq" else sys.executable
            sizes = [f"--{name}={getattr(self.options, name)}" for name in ("images", "size", "steps")]
            found = self._run(python, "train_child.py", package, section, str(copy), "RESULT", *sizes, f"--device={device}")
            assert isinstance(found, dict)
            self._kept[key] = found
            self.raw["/".join(key)] = found
        return self._kept[key]

    def answers(self, section: str, *further: str) -> list[dict[str, Any]]:
        """Rows of ``train_accuracy.py``."""
        found = self._run(sys.executable, "train_accuracy.py", section, "RESULT", *further)
        assert isinstance(found, list)
        self.raw[section] = found
        return found


def tqt(bench: Bench) -> Iterator[Row]:
    ours = bench.tool("espdl", "tqt")
    theirs = bench.tool("esp_ppq", "tqt") if bench.options.ppq else None
    what = f"TQT, {bench.options.steps} steps a block, {bench.options.images} images, {bench.options.threads} threads"
    yield from beside("tqt", what, "training", ours, theirs, TIME_LIMIT, 1, "s")
    yield from beside("tqt", "the same with calibration", "whole", ours, theirs, TIME_LIMIT, 1, "s")


def executor(bench: Bench) -> Iterator[Row]:
    ours = bench.tool("espdl", "executor")
    theirs = bench.tool("esp_ppq", "executor") if bench.options.ppq else None
    yield from beside("executor", "TorchExecutor, one image", "run", ours, theirs, EXECUTOR_LIMIT, 1e3, "ms")
    peer = None if theirs is None else {"gradient": theirs["run"]}
    yield from beside(
        "executor", "the same, rounded in PyTorch, for gradients", "gradient", ours, peer, EXECUTOR_LIMIT, 1e3, "ms"
    )


def beside(
    section: str, what: str, key: str, ours: Any, theirs: Any, limit: float, factor: float, unit: str, peer: str = "ESP-PPQ"
) -> Iterator[Row]:
    """One duration of ours over the peer's, by the clock; that of all cores together stands beside, for machines that others use, too."""
    mine = ours[key]
    if theirs is None:
        yield Row(section, what, f"{mine['wall'] * factor:.4g} {unit} (no interpreter for {peer}: no ratio)")
        return
    other = theirs[key]
    ratio, worked = mine["wall"] / other["wall"], mine["cpu"] / other["cpu"]
    figure = (
        f"{mine['wall'] * factor:.4g} {unit}, {peer} {other['wall'] * factor:.4g} {unit}: {ratio:.3f} ({worked:.3f} of CPU time)"
    )
    yield Row(section, what, figure, f"at most {limit:.3f}", ratio <= limit)


def of_answers(section: str, rows: list[dict[str, Any]], limit: str) -> Iterator[Row]:
    for row in rows:
        recovered = "nothing was lost" if row["recovered"] is None else f"{row['recovered']:.0%} recovered"
        shares = ", ".join(f"{name} {row[name]:.1%}" for name in ("float", "ptq", "tqt"))
        yield Row(section, row["name"], f"{shares}: {recovered}", limit, row["met"])
    for row in rows:
        found = row["agreement"]
        causes = "; ".join(f"{cause}: {count}" for cause, count in found["causes"].items())
        figure = f"{found['share']:.4%} of {found['values']} outputs, furthest {found['furthest']}" + (
            f" ({causes})" if causes else ""
        )
        yield Row(section, f"{row['name']}: file and executor agree", figure, "at least 99.9 %, by 1 at most", found["met"])


def tasks(bench: Bench) -> Iterator[Row]:
    if bench.options.tasks is None:
        yield Row("tasks", "left out", "no folder of tasks: --tasks")
        return
    steps = [] if bench.options.task_steps is None else [f"--steps={bench.options.task_steps}"]
    rows = bench.answers("tasks", f"--tasks={bench.options.tasks}", *steps)
    yield from of_answers("tasks", rows, "80 % of the loss back, or 0.3 points left; never worse")


def hard(bench: Bench) -> Iterator[Row]:
    steps = [] if bench.options.task_steps is None else [f"--steps={bench.options.task_steps}"]
    yield from of_answers("hard", bench.answers("hard", *steps), "within 2 points of float")


def cuda(bench: Bench) -> Iterator[Row]:
    import torch

    if not torch.cuda.is_available():
        yield Row("cuda", "left out", "no CUDA device on this machine")
        return
    slow, fast = bench.tool("espdl", "tqt"), bench.tool("espdl", "tqt", "cuda")
    name, threads = torch.cuda.get_device_name(), bench.options.threads
    yield from beside("cuda", f"TQT on {name}", "training", fast, slow, CUDA_LIMIT, 1, "s", f"{threads} CPU threads")
    apart = abs(fast["decibels"] - slow["decibels"])
    figure = f"{fast['decibels']:.2f} dB, on the CPU {slow['decibels']:.2f} dB"
    yield Row("cuda", "signal to noise after it", figure, f"within {NOISE_DB:g} dB", apart <= NOISE_DB)


def show(row: Row) -> None:
    verdict = {None: "", True: "  ok", False: "  missed"}[row.met]
    print(f"{row.section:<9} {row.what:<58} {row.figure}{f'  [{row.limit}]' if row.limit else ''}{verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections to run")
    parser.add_argument("--ppq", metavar="PYTHON", help="interpreter that has esp-ppq; without it only espdl is measured")
    parser.add_argument("--tasks", type=Path, help="folder of labelled tasks")
    parser.add_argument("--target", default="esp32s3")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=50, help="updates per block in the sections tqt and cuda")
    parser.add_argument(
        "--task-steps", type=int, help="updates per block in the sections tasks and hard; as by default without it"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    parts = {"tqt": tqt, "executor": executor, "tasks": tasks, "hard": hard, "cuda": cuda}
    rows: list[Row] = []
    print(f"{processor()}; {options.target}")
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(options, Path(temporary))
        for section in options.only:
            for row in parts[section](bench):
                show(row)
                rows.append(row)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"machine": processor(), "rows": [asdict(row) for row in rows], "raw": bench.raw}
        options.json.write_text(json.dumps(content, indent=2) + "\n")
    sys.exit(any(row.met is False for row in rows))


if __name__ == "__main__":
    main()
