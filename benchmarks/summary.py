"""The figures that the benchmarks measured beside the goals they are to reach, as one table; reads and writes JSON in one folder."""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """A measured value and its goal: at most, or at least, so much."""

    name: str
    value: float
    goal: float
    at_most: bool = True
    unit: str = "x"

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def figures(folder: Path) -> list[Figure]:
    kernels, networks, running, steps = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("kernels", "networks", "running", "steps")
    )
    found = []
    for row in networks["rows"]:
        where = f"{row['network']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        for name, value in row["ms"].items():
            if name.startswith("half-"):
                found.append(Figure(f"{where}: {name}, over onnxruntime's best", value / row["onnxruntime"], 1.0))
    for row in running:
        found.append(Figure(f"{row['network']}: 2 threads over 1", row["run_ms"][0] / row["run_ms"][1], 1.7, at_most=False))
        found.append(
            Figure(
                f"{row['network']}: run_many, 2 threads over 1", row["run_many_ms"][0] / row["run_many_ms"][1], 1.7, at_most=False
            )
        )
        found.append(Figure(f"{row['network']}: load to first result beyond the run", row["first_result_ms"], 50, unit="ms"))
        found.append(Figure(f"{row['network']}: allocations of steady runs", row["native_allocations"], 0, unit=""))
    pointwise = [row["of_limit"] for row in kernels["rows"] if row["layer"].startswith("pointwise")]
    found.append(Figure("pointwise kernel, best, of the CPU's limit", max(pointwise) * 100, 60, at_most=False, unit="%"))
    for row in kernels["rows"]:
        found.append(Figure(f"{row['layer']}: int16 over int8", row["over_int8"]["int16"], 4))
        found.append(Figure(f"{row['layer']}: 20-bit lanes, full inputs, over fast path", row["over_int8"]["20 bits, full"], 3))
    found.append(Figure("Python's part of a step", steps["native"]["us_per_step_one_by_one"], 3, unit="us"))
    return found


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    table = figures(arguments.folder)
    print(f"{processor()}, {json.loads((arguments.folder / 'networks.json').read_text())['isa']}")
    for figure in table:
        bound = "at most" if figure.at_most else "at least"
        print(
            f"{figure.name:<62}{figure.value:>8.2f} {figure.unit:<2}  {bound:<8}{figure.goal:>5g}  {'met' if figure.is_met else 'NOT MET'}"
        )
    rows = [asdict(figure) | {"is_met": figure.is_met} for figure in table]
    (arguments.folder / "summary.json").write_text(json.dumps({"machine": processor(), "figures": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
