"""A dump beside the float network, without the file between them: its inputs, and where noise jumps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import DEFAULT_TARGET, Chip, get_chip
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import records
from espdl.quantize.analysis.matching import orders_between, stored_as
from espdl.quantize.analysis.noise import snr
from espdl.quantize.assign import is_real
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.emitter import Stored
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.passes.tools import input_shapes_of, shape_of
from espdl.quantize.pipeline import prepare
from espdl.quantize.test_values import from_file, to_file
from espdl.report.explain.dump import Value, read_dump
from espdl.report.explain.findings import Finding
from espdl.report.explain.floats import FloatExplanation, NodeNoise
from espdl.report.explain.inputs import input_cause

JUMP = 10.0
LOUD = 0.05
"""Times by which noise to signal grows from one told tensor to the next, and the ratio from which that is told."""


def explain_float_dump(network: Path, dump: Path, data: Path | None, target: str | None) -> FloatExplanation:
    """Compares what a chip printed with the float network.

    Args:
        data: a real sample; the dump's own inputs when None.
        target: chip; it decides which tensors are fused away.

    Raises:
        EspdlError: when the dump has no tensor of the network, or its inputs are needed and not there.
    """
    dumped = read_dump(dump)
    chip = get_chip(target or DEFAULT_TARGET)
    loaded = load_network(network)
    prepared = prepare(loaded, chip)
    candidates = _candidates(prepared, dumped)
    if not candidates:
        raise EspdlError("the dump has no tensor of the network", where=str(dump), hint="dump tensors that espdl inspect names")
    sample = (
        dict(next(iter(open_calibration_data(data, input_shapes_of(loaded), 1))))
        if data
        else _own_sample(prepared, dumped, candidates)
    )
    inputs = [value.name or "" for value in prepared.graph.inputs]
    exact = FloatRun(prepared, list(candidates)).run(sample)
    findings = [
        finding
        for name in inputs
        if name in candidates
        for finding in _at_input(name, sample, candidates[name][0], dumped[name], chip)
    ]
    noise: list[NodeNoise] = []
    before = 0.0
    for position, node in enumerate(prepared.graph):
        for value in node.outputs:
            name = value.name or ""
            if name not in candidates:
                continue
            total = min(snr(from_file(dumped[name].data.reshape(s.shape or (1,)), s), exact[name]) for s in candidates[name])
            noise.append(NodeNoise(node.name or "", node.op_type, name, total, float("nan")))
            if total > LOUD and total > JUMP * max(before, 1e-6) and not findings:
                text = f"noise to signal jumps from {before:.3g} to {total:.3g} at {name!r}"
                evidence = (
                    "the dump alone does not tell why, nor in which units balanced channels are: compare it with its .espdl file"
                )
                findings.append(Finding(node.name or "", node.op_type, position, name, "unexplained", text, evidence))
            before = max(before, total)
    totals = {entry.tensor: entry.total for entry in noise}
    outputs = {name: totals[name] for value in prepared.graph.outputs if (name := value.name or "") in totals}
    label = f"{dump.name}, a dump of {len(dumped)} tensors, {len(candidates)} of them of the network"
    return FloatExplanation(network.name, label, outputs, tuple(noise), tuple(findings), 0)


def _candidates(network: ir.Model, dumped: Mapping[str, Value]) -> dict[str, list[Stored]]:
    """The orders of axes that each dumped tensor of the network may have."""
    found = {}
    values = [*network.graph.inputs, *(value for node in network.graph for value in node.outputs)]
    for value in values:
        told = dumped.get(value.name or "")
        if told is None or not is_real(value):
            continue
        info = records.ValueInfo(told.name, told.dtype, told.shape, (told.exponent,))
        orders = orders_between(shape_of(value), told.shape)
        if orders:
            found[told.name] = [stored_as(info, order) for order in orders]
    return found


def _own_sample(network: ir.Model, dumped: Mapping[str, Value], candidates: Mapping[str, list[Stored]]) -> dict[str, NDArray]:
    names = [value.name or "" for value in network.graph.inputs]
    if any(name not in candidates for name in names):
        raise EspdlError("what the chip was run on is not known", hint="dump its inputs, too, or give real ones with --data")
    return {name: np.ascontiguousarray(from_file(dumped[name].data, candidates[name][0])) for name in names}


def _at_input(name: str, sample: Mapping[str, NDArray], stored: Stored, told: Value, chip: Chip) -> list[Finding]:
    mine = to_file(sample[name], stored, chip)
    wide = np.abs(mine.astype(np.float64) - told.data.astype(np.float64).reshape(mine.shape))
    if wide.max(initial=0.0) <= (1 if told.dtype in (DType.INT8, DType.INT16) else 1e-6):
        return []  # rounding of the input
    cause = input_cause(Value(name, stored.dtype, mine, told.exponent), told)
    return [Finding("", "input", -1, name, cause.id, f"the chip was fed with other numbers: {cause.text}", cause.evidence)]
