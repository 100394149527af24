"""Fits the costs of :mod:`espdl.estimate` to the published latencies and shows how well they are met, and met unseen.

    python benchmarks/latency/fit_latency.py            prints the table
    python benchmarks/latency/fit_latency.py --write    and writes src/espdl/estimate/costs.toml
    python benchmarks/latency/fit_latency.py --markdown prints the table for the documentation

Every published run is predicted three times: by the fit to all, by one that has not seen the runs of its model, and by one that has not
seen its whole family of networks. The kept error bars come from the last.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from dataclasses import dataclass
from typing import Any

import numpy as np
from workloads import HERE, kernel_work, load

from espdl.chips import get_chip
from espdl.dtypes import RuntimeMode
from espdl.estimate.cost import PARAMETERS, Memories, amounts, by_parameter
from espdl.estimate.fit import Array, Fit, Prior, fit, leave_out, spread_of
from espdl.estimate.workload import Work

COSTS = HERE.parent.parent / "src/espdl/estimate/costs.toml"
MODES = {"single": RuntimeMode.SINGLE_CORE, "multi": RuntimeMode.MULTI_CORE}
LEAST_ERROR = 0.3
"""Standard deviation of the logarithm where no model has been published, only kernels."""


@dataclass(frozen=True)
class Row:
    """A published latency in milliseconds and the predictions of it."""

    chip: str
    model: str
    mode: str
    published: float
    fitted: float
    without_model: float
    without_family: float


@dataclass(frozen=True)
class Result:
    """One set of costs: the fit, and what is kept of its errors."""

    costs: Fit
    model_error: float
    layer_error: float
    rows: list[Row]


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))


def milliseconds(works: list[Work], target: str, memories: Memories, mode: str, *, lanes: bool = True) -> Array:
    """Milliseconds that one cycle of every parameter takes in a run."""
    chip = get_chip(target)
    total = np.zeros(len(PARAMETERS))
    for work in works:
        width = chip.vector_bytes if lanes else 0
        total += by_parameter(amounts(work, width, memories, chip.cores, MODES[mode]))
    return total / (chip.clock_mhz * 1000)


def fit_set(facts: dict[str, Any], known: dict[str, Any], published: dict[str, Any], workloads: dict[str, list[Work]]) -> Result:
    """Fits one set of costs to the runs and kernels of its chip."""
    column, target = facts["column"], facts["chip"]
    lanes = not column.endswith("_c")
    runs = [run for run in published["run"] if run["chip"] == target] if lanes else []
    places = {
        place: Memories(tuple(facts["caches"]), tuple(known["thrash"]), tuple(known["spill"]), place)
        for place in ("psram", "flash")
    }
    table = [milliseconds(workloads[run["workload"]], target, places[run["filters"]], run["mode"]) for run in runs]
    table += [milliseconds([kernel_work(row)], target, places["psram"], "single", lanes=lanes) for row in published["kernel"]]
    a = np.array(table)
    measured = np.array([run["latency"] for run in runs] + [row[column] / 1000 for row in published["kernel"]])
    weight = known["kernel_weight"] if runs else 1.0
    weights = np.array([1.0] * len(runs) + [weight] * len(published["kernel"]))
    guess, spread = np.array([facts["prior"][name] for name in PARAMETERS], dtype=float).T
    prior = Prior(guess, spread)
    best = fit(a, measured, weights, prior, known["spread"])
    kernels = [row["name"] for row in published["kernel"]]
    by_model = leave_out(a, measured, weights, [run["model"] for run in runs] + kernels, prior, known["spread"])
    by_family = leave_out(a, measured, weights, [run["family"] for run in runs] + kernels, prior, known["spread"])
    count = len(runs)
    layer_error = spread_of(by_family[count:])
    model_error = spread_of(by_family[:count]) if runs else max(layer_error, LEAST_ERROR)
    rows = [
        Row(target, run["model"], run["mode"], ms, float(a[i] @ best.costs), ms * by_model[i], ms * by_family[i])
        for i, (run, ms) in enumerate(zip(runs, measured, strict=False))
    ]
    return Result(best, model_error, max(layer_error, model_error), rows)


def picture_costs(published: dict[str, Any], part: str, target: str, size: dict[str, float]) -> tuple[float, float]:
    """Microseconds per pixel or output, and standard deviation of their logarithm, over the published runs."""
    ratios = [
        1000 * run[part] / size[run["workload"]]
        for run in published["run"]
        if run["chip"] == target and run[part] > 0 and run["workload"] in size
    ]
    logs = np.log(ratios)
    return float(np.exp(logs.mean())), float(logs.std(ddof=1))


def fit_all() -> dict[str, Result]:
    """Every set of costs, fitted."""
    known, published, workloads = read("priors.toml"), read("published.toml"), load()
    return {name: fit_set(facts, known, published, workloads) for name, facts in known["sets"].items()}


def costs_text(results: dict[str, Result]) -> str:
    """What is kept: ``costs.toml``."""
    known, published = read("priors.toml"), read("published.toml")
    lines = [
        "# Written by benchmarks/latency/fit_latency.py from published.toml, priors.toml and workloads.json: do not edit.",
        "# Costs in cycles, in the order of espdl.estimate.cost.PARAMETERS; errors are standard deviations of logarithms.",
        f"thrash = {known['thrash']}",
        f"spill = {known['spill']}",
    ]
    for name, result in results.items():
        facts = known["sets"][name]
        covariance = ",\n    ".join(json.dumps([float(f"{value:.4g}") for value in row]) for row in result.costs.covariance)
        lines += [
            f"\n[sets.{name}]",
            f"caches = {facts['caches']}",
            f"psram_mb_s = {facts['psram_mb_s']}",
            f"flash_mb_s = {facts['flash_mb_s']}",
            f"runs = {len(result.rows)}",
            f"model_error = {result.model_error:.3f}",
            f"layer_error = {result.layer_error:.3f}",
            *(f"{key} = {value:.4g}" for key, value in zip(PARAMETERS, result.costs.costs, strict=True)),
            f"covariance = [\n    {covariance},\n]",
        ]
        if result.rows:
            for part, key in (("preprocess", "pixel"), ("postprocess", "output")):
                cost, error = picture_costs(published, part, facts["chip"], published[f"{key}s"])
                lines += [f"{key}_us = {cost:.4g}", f"{key}_error = {error:.3f}"]
    lines.append("\n[chips]")
    lines += [f"{chip} = {json.dumps(entry)}" for chip, entry in known["chips"].items()]
    return "\n".join(lines) + "\n"


def errors(rows: list[Row], attribute: str) -> tuple[float, float]:
    """Median and largest relative error of predictions."""
    found = [abs(getattr(row, attribute) / row.published - 1) for row in rows]
    return float(np.median(found)), max(found)


def markdown(results: dict[str, Result]) -> str:
    """The published latencies and what is made of them, as the table of docs/memory-and-latency.md."""
    rows = [row for result in results.values() for row in result.rows]
    lines = [
        "| chip | model | mode | published | estimated | error | unseen model | unseen family |",
        "|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        parts = [f"{100 * (value / row.published - 1):+.0f} %" for value in (row.fitted, row.without_model, row.without_family)]
        figures = (f"{row.published:.1f} ms", f"{row.fitted:.1f} ms", *parts)
        lines.append("| " + " | ".join((row.chip, row.model, row.mode, *figures)) + " |")
    for name, kind in ((np.median, "median"), (np.max, "worst")):
        summaries = [
            f"{100 * name([abs(getattr(row, key) / row.published - 1) for row in rows]):.1f} %"
            for key in ("fitted", "without_model", "without_family")
        ]
        lines.append(f"| all | **{kind}** | | | | " + " | ".join(summaries) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {COSTS.name}")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/memory-and-latency.md only")
    given = parser.parse_args()
    results = fit_all()
    if given.markdown:
        print(markdown(results))
        return
    if given.write:
        COSTS.write_text(costs_text(results), encoding="utf-8")
    rows = [row for result in results.values() for row in result.rows]
    print(f"{'chip':8} {'model':34} {'mode':6} {'published':>10} {'fitted':>15} {'model unseen':>16} {'family unseen':>16}")
    for row in rows:
        shown = [
            f"{value:9.1f} {100 * (value / row.published - 1):+5.0f}%"
            for value in (row.fitted, row.without_model, row.without_family)
        ]
        print(f"{row.chip:8} {row.model:34} {row.mode:6} {row.published:10.1f} {shown[0]:>15} {shown[1]:>16} {shown[2]:>16}")
    for chip in [*dict.fromkeys(row.chip for row in rows), "all"]:
        some = [row for row in rows if chip in (row.chip, "all")]
        texts = [
            f"{100 * median:.1f} % / {100 * worst:.1f} %"
            for median, worst in (errors(some, name) for name in ("fitted", "without_model", "without_family"))
        ]
        print(f"{chip}: median / worst error {texts[0]} fitted, {texts[1]} model unseen, {texts[2]} family unseen")
    for name, result in results.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in zip(PARAMETERS, result.costs.costs, strict=True)))
        print(f"  errors kept: model {result.model_error:.3f}, layer {result.layer_error:.3f}")


if __name__ == "__main__":
    main()
