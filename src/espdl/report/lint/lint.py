"""The table of lint rules, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.report.lint import precision, results, speed
from espdl.report.lint.finding import Finding
from espdl.report.lint.subject import Subject


@dataclass(frozen=True)
class Rule:
    """One rule: its name, what it looks for, and whether it needs data."""

    name: str
    text: str
    find: Callable[[Subject], Iterator[Finding]]
    needs_data: bool = False


RULES: tuple[Rule, ...] = (
    Rule("accumulator", "sums that may leave the chip's accumulator, with the channel and the proof", results.accumulators),
    Rule("left-shift", "results that would be shifted to the left", results.left_shifts),
    Rule("memory-hazard", "tensors that the chip's memory plan overwrites too early", results.memory_hazards),
    Rule("firmware", "operators that the firmware may lack", results.firmware),
    Rule("dead-node", "nodes whose results nobody reads", results.dead_nodes),
    Rule("wasted-bits", "exponents that leave upper bits empty", precision.wasted_bits, needs_data=True),
    Rule("table-saturates", "tables that cut many values off", precision.saturated_tables),
    Rule("requantize-chain", "values that are rounded twice", precision.requantize_chains),
    Rule("float-node", "nodes that run in float", results.float_nodes),
    Rule("unaligned-channels", "channels that fall to slow kernels", speed.unaligned_channels),
    Rule("psram", "what forces activations into PSRAM", speed.large_tensors),
    Rule("quirk", "operators that give something else than ONNX says", results.quirks),
)


def lint_file(
    path: str | Path,
    target: str | None = None,
    *,
    inputs: Mapping[str, NDArray] | None = None,
    max_internal_size: int = 0,
    key: bytes | None = None,
) -> list[Finding]:
    """Looks through a file with every rule.

    Args:
        path: the file.
        target: chip; None takes it from the file.
        inputs: data to run on, one array per input with one run after the other along its first axis; None takes the test inputs in
            the file, if there are any.
        max_internal_size: bytes of internal RAM that the plan fills first.
        key: of an encrypted model.

    Returns:
        What was found, the gravest first, in the order of the rules and of the nodes.

    Raises:
        EspdlError: for a file that cannot be loaded and inputs that do not fit.
    """
    return lint_model(Model(path, target=target, max_internal_size=max_internal_size, key=key), inputs)


def lint_model(model: Model, inputs: Mapping[str, NDArray] | None = None) -> list[Finding]:
    """The same for a model that is loaded."""
    seen, overflows = _observe(model, _samples(model, inputs))
    subject = Subject(model, seen, overflows)
    found = [finding for rule in RULES if seen or not rule.needs_data for finding in rule.find(subject)]
    return sorted(found, key=lambda finding: -finding.severity)


def _samples(model: Model, inputs: Mapping[str, NDArray] | None) -> list[dict[str, NDArray]]:
    if inputs is None:
        names = {tensor.name: tensor.data for tensor in model.fbs_model.record.graph.test_inputs_value}
        return [names] if names.keys() == model.get_inputs().keys() else []
    samples = []
    shapes = {name: tuple(tensor.shape) for name, tensor in model.get_inputs().items()}
    if inputs.keys() != shapes.keys():
        raise EspdlError(f"there are arrays for {', '.join(inputs)}", hint=f"the inputs are {', '.join(shapes)}")
    counts = {name: array.size // max(int(np.prod(shapes[name])), 1) for name, array in inputs.items()}
    for index in range(min(counts.values())):
        samples.append({name: np.reshape(array, (counts[name], *shapes[name]))[index] for name, array in inputs.items()})
    return samples


def _observe(model: Model, samples: list[dict[str, NDArray]]) -> tuple[dict[str, int], dict[str, int]]:
    """Largest magnitudes of every variable, and sums that left their lane by node, over all runs."""
    seen: dict[str, int] = {}
    overflows: dict[str, int] = {}
    for sample in samples:
        model.reset()
        for name, array in model.run_arrays(sample, model.variable_names).items():
            if array.dtype.kind == "i" and array.size:
                largest = max(int(array.max()), -int(array.min()) - 1, 0)
                seen[name] = max(seen.get(name, 0), largest)
        for module in model.modules:
            count = getattr(module, "lane_overflows", None)
            if count is not None and count.count:
                overflows[module.name] = overflows.get(module.name, 0) + count.count
    return seen, overflows
