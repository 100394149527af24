"""A float network beside its file: how noise grows, and the first node whose error is more than rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from espdl.dl.model import Model
from espdl.dl.operators import Operator
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.quantize.analysis.analyse import platform_of
from espdl.quantize.analysis.matching import match, orders_between, stored_as
from espdl.quantize.analysis.noise import snr
from espdl.quantize.calibration_data import open_calibration_data
from espdl.quantize.emitter import Stored
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.passes.tools import input_shapes_of, shape_of
from espdl.quantize.pipeline import prepare
from espdl.quantize.recipe import load_recipe
from espdl.quantize.scale import Scales, scales_beside
from espdl.quantize.test_values import from_file, to_file
from espdl.report.explain.causes import Cause
from espdl.report.explain.dump import Value
from espdl.report.explain.files import Rules, describe, kind_of, open_model
from espdl.report.explain.findings import Finding, find_in_input, find_in_node
from espdl.report.explain.inputs import input_cause
from espdl.report.explain.noise import parts_of
from espdl.report.explain.sides import embedded_inputs, forced_run
from espdl.report.explain.trial import Segment
from espdl.report.recordings import load_recordings
from espdl.wording import counted

CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "RequantizeLinear"})


@dataclass(frozen=True)
class NodeNoise:
    """Noise to signal power behind a node: with all before it, and of the node alone on the float network's inputs (NaN beside a dump)."""

    node: str
    op_type: str
    tensor: str
    total: float
    own: float


@dataclass(frozen=True)
class FloatExplanation:
    """A file beside its float network.

    Attributes:
        network, file: what they are, in words.
        outputs: noise to signal power of the network's outputs.
        noise: of every node whose result the network has, too, in running order.
        findings: errors that are more than rounding, in running order. more: further ones.
    """

    network: str
    file: str
    outputs: dict[str, float]
    noise: tuple[NodeNoise, ...]
    findings: tuple[Finding, ...]
    more: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def explain_float(
    one: Path,
    two: Path,
    rules: tuple[Rules, Rules],
    data: tuple[Path | None, Path | None],
    setting: Path | None = None,
    most: int = 5,
    key: bytes | None = None,
) -> FloatExplanation:
    """Compares an ``.onnx`` network with the ``.espdl`` file made from it, on one sample.

    Args:
        one, two: the network and the file, or a dump of it, in either order. rules: of either, those of the network are not used.
        data: real samples of the network, of which the first is taken, or the file's test inputs when None; and what the file was fed
            with instead, raw or real, in the order of the file.
        setting: recipe that the file was made with.

    Raises:
        EspdlError: for two networks, and when the file is not one of the network.
    """
    if kind_of(one) != "onnx":
        one, two, rules = two, one, rules[::-1]
    if kind_of(two) == "onnx":
        raise EspdlError("both are float networks", hint="compare one with the .espdl file made from it")
    if kind_of(two) == "dump":
        from espdl.report.explain.float_dump import explain_float_dump

        return explain_float_dump(one, two, data[0] or data[1], rules[1].target)
    model = open_model(two, rules[1], key)
    platform = platform_of(model)
    loaded = load_network(one)
    network = prepare(loaded, platform.chip, load_recipe(setting, platform) if setting else None)
    sample = _sample(model, network, loaded, data[0])
    scales = scales_beside(two, model.fbs_model.record.metadata_props)
    walk = _FloatWalk(model, network, sample, scales)
    findings, more = walk.findings(most, load_recordings(data[1], model)[0] if data[1] else None)
    outputs = {name: walk.totals[name] for name in (value.name or "" for value in network.graph.outputs) if name in walk.totals}
    return FloatExplanation(one.name, describe(two, model), outputs, tuple(walk.noise), tuple(findings), more)


def _sample(model: Model, network: ir.Model, loaded: ir.Model, data: Path | None) -> dict[str, NDArray]:
    if data is not None:
        return dict(next(iter(open_calibration_data(data, input_shapes_of(loaded), 1))))
    raw = embedded_inputs(model)
    if not raw:
        raise EspdlError("there is no sample to run on", hint="give real inputs in the order of ONNX with --data")
    infos = {info.name: info for info in model.fbs_model.record.graph.input}
    found = {}
    for value in network.graph.inputs:
        name = value.name or ""
        orders = orders_between(shape_of(value), tuple(infos[name].shape or ())) if name in infos else []
        if not orders:
            raise EspdlError(f"the file is not one of this network: it lacks input {name!r}")
        found[name] = np.ascontiguousarray(from_file(raw[name], stored_as(infos[name], orders[0])))
    return found


class _FloatWalk:
    def __init__(self, model: Model, network: ir.Model, sample: Mapping[str, NDArray], scales: Scales) -> None:
        self.model, self.sample = model, sample
        self.stored: dict[str, Stored] = match(model, network, sample, scales)
        self.exact = FloatRun(network, list(self.stored)).run(sample)
        self.names = {stored.name: name for name, stored in self.stored.items()}
        self.inputs = {
            self.stored[name].name: to_file(sample[name], self.stored[name], model.chip)
            for name in model_inputs(model, self.names)
        }
        self.real = {stored.name: self._in_file_order(name) for name, stored in self.stored.items()}
        self.totals: dict[str, float] = {}
        self.noise: list[NodeNoise] = []

    def _in_file_order(self, name: str) -> NDArray[np.float64]:
        """What the tensor would hold without any error, in the units and the order of the file."""
        stored = self.stored[name]
        array = np.asarray(self.exact[name], np.float64)
        array = array if stored.scale is None else stored.scale.of(array)
        return array.transpose(stored.order).reshape(stored.shape) if stored.order else array.reshape(stored.shape or (1,))

    def findings(self, most: int, fed: Mapping[str, NDArray] | None) -> tuple[list[Finding], int]:
        found: list[Finding] = []
        for name, array in self.inputs.items():
            stored = self.stored[self.names[name]]
            if fed is not None:
                theirs = _raw(self.model, name, fed[name])
                mine = Value(name, stored.dtype, array, stored.format[1])
                if not np.array_equal(mine.data, theirs):
                    cause: Cause = input_cause(mine, Value(name, stored.dtype, theirs, stored.format[1]), self.real[name])
                    found.append(
                        Finding("", "input", -1, name, cause.id, f"B was fed with other numbers: {cause.text}", cause.evidence)
                    )
            elif stored.dtype in (DType.INT8, DType.INT16):
                found += find_in_input(name, self.real[name], stored.dtype.numpy, stored.format[1])
        self._total_noise()
        more = 0
        forced = {stored.name: to_file(self.exact[name], stored, self.model.chip) for name, stored in self.stored.items()}
        known = {name: forced[name] for name in self.inputs}
        for position, operator, computed in forced_run(self.model, known, forced):
            for name, array in computed.items():
                known[name] = forced.get(name, array)
            tensor = operator.produces[0] if operator.produces else ""
            if tensor not in self.names:
                self._carry_over(operator, computed)
                continue
            own = snr(from_file(computed[tensor], self.stored[self.names[tensor]]), self.exact[self.names[tensor]])
            module = operator.module
            self.noise.append(NodeNoise(module.name, module.op_type, tensor, self.totals[self.names[tensor]], own))
            segment = Segment(self.model, [position], known)
            parts = parts_of(segment, self.real[tensor], computed[tensor], known, self.real)
            finding = find_in_node(segment, position, tensor, parts, computed[tensor], known) if parts is not None else None
            if finding is not None and len(found) < most:
                found.append(finding)
            elif finding is not None:
                more += 1
        return found, more

    def _carry_over(self, operator: Operator, computed: Mapping[str, NDArray]) -> None:
        """What a node that only changes the exponent gives in the float network, which lacks it: its input."""
        source = self.model.fbs_model.get_node(operator.module.name).input[0]
        if operator.module.op_type in CONVERSIONS and source in self.real:
            self.real |= {name: self.real[source].reshape(array.shape) for name, array in computed.items()}

    def _total_noise(self) -> None:
        self.model.reset()
        raw = self.model.run_arrays(self.inputs, [stored.name for stored in self.stored.values()])
        self.totals = {name: snr(from_file(raw[stored.name], stored), self.exact[name]) for name, stored in self.stored.items()}


def model_inputs(model: Model, names: Mapping[str, str]) -> list[str]:
    """Inputs of a file by their names in the network."""
    return [names[name] for name in model.get_inputs()]


def _raw(model: Model, name: str, array: NDArray) -> NDArray:
    from espdl.dl.feeding import assign_input

    tensor = model.get_input(name)
    assign_input(tensor, name, array, model.chip.rounding)
    return tensor.data.copy()


def float_lines(found: FloatExplanation) -> list[str]:
    """The same for people, in paragraphs."""
    lines = [f"first   {found.network}, float", f"second  {found.file}"]
    lines += [f"output {name!r}: SNR {_decibels(ratio)}" for name, ratio in found.outputs.items()]
    alone = [entry for entry in found.noise if not math.isnan(entry.own)]
    if alone:
        worst = sorted(alone, key=lambda entry: -entry.own)[:5]
        lines += ["", "nodes that add the most noise, each alone on the float network's inputs:"]
        lines += [
            f"  - {n.op_type} {n.node!r}: SNR {_decibels(n.own)} alone, {_decibels(n.total)} with all before it" for n in worst
        ]
    else:
        lines += ["", "tensors in running order:"]
        lines += [f"  - {n.tensor!r}, of {n.op_type} {n.node!r}: SNR {_decibels(n.total)}" for n in found.noise]
    if not found.findings and not alone:
        return [*lines, "", "noise jumps nowhere"]
    if not found.findings:
        return [*lines, "", "every node's error is explained by rounding of inputs, weights and outputs"]
    for number, finding in enumerate(found.findings):
        place = f"node {finding.position}, {finding.op_type} {finding.node!r}" if finding.node else f"input {finding.tensor!r}"
        lines += ["", f"{'first' if not number else 'further'} error that is not rounding: {place}"]
        lines += [f"  cause: {finding.cause}: {finding.text}", f"  evidence: {finding.evidence}"]
        if finding.index is not None:
            order = f" (ONNX order {list(finding.onnx_index)})" if finding.onnx_index is not None else ""
            lines.append(
                f"  worst: {finding.tensor!r} at {list(finding.index)}{order}: {finding.exact:g} in float, {finding.got:g} in the file"
            )
    if found.more:
        lines += ["", f"{counted(found.more, 'further node')} (--most)"]
    return lines


def _decibels(ratio: float) -> str:
    return f"{-10 * math.log10(ratio):.1f} dB" if ratio > 0 else "infinite"
