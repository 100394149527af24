"""Why ESP-DL's C++ code and a file's expected values disagree, and why a value may be off by one: read from the file itself.

The verdicts that an index holds come from ESP-DL 3.3.9; what it lacks, the operators say (runtime spec 3.0.2, appendix C).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from espdl.dl.filetest import FileVerdict
from espdl.dl.module import MODULE_TYPES, Layout
from espdl.dl.module.contract import Availability
from espdl.dtypes import Arithmetic, QuantType
from espdl.fbs import FbsModel, records
from espdl.report.conformance.cases import W8A16, Cause, Tolerance

EXPONENT_BLIND = frozenset({"Add", "Sub", "Neg", "InsertZeros"})
"""Operators that compute on raw integers, whatever the exponents of their inputs and outputs."""

SIMULATED = "the exporter's simulation is followed, whose values the file holds"


@dataclass(frozen=True)
class FileFacts:
    """A model as causes see it."""

    fbs_model: FbsModel

    @cached_property
    def nodes(self) -> list[records.Node]:
        return self.fbs_model.record.graph.node

    @cached_property
    def values(self) -> list[dict[str, Any]]:
        """Attributes of every node, by name."""
        return [{attribute.name: attribute.value for attribute in node.attribute} for node in self.nodes]

    def with_attribute(self, name: str, value: str) -> bool:
        return any(str(values.get(name)) == value for values in self.values)

    @cached_property
    def unknown(self) -> list[str]:
        """Types of nodes that no version of ESP-DL has, and nothing here either."""
        return _once(node.op_type for node in self.nodes if node.op_type not in MODULE_TYPES)

    def available(self, availability: Availability) -> list[str]:
        """Operators that a firmware has in that way."""
        modules = ((node.op_type, MODULE_TYPES.get(node.op_type)) for node in self.nodes)
        return _once(op_type for op_type, module in modules if module and module.contract.availability is availability)

    @cached_property
    def untyped(self) -> list[tuple[str, str]]:
        """Operators with the type that ESP-DL has no form of them for: ``("Conv", "float32 Conv")``."""
        found = []
        for node, values in zip(self.nodes, self.values, strict=True):
            module, text = MODULE_TYPES.get(node.op_type), values.get("quant_type")
            if module is not None and isinstance(text, str):
                quant_type = QuantType.parse(text)
                if quant_type in _SPELLING and quant_type not in module.contract.quant_types:
                    found.append((node.op_type, f"{_SPELLING[quant_type]} {node.op_type}"))
        return list(dict.fromkeys(found))

    @cached_property
    def counts_parts(self) -> bool:
        """Whether a Split says how many parts it makes, and not how long they are."""
        return any(
            node.op_type == "Split" and len([name for name in node.input if name]) < 2 and "num_outputs" in values
            for node, values in zip(self.nodes, self.values, strict=True)
        )

    @cached_property
    def caches_a_residual(self) -> bool:
        """Whether a StreamingCache feeds an operator that takes the frames of both its inputs one by one."""
        cached = {name for node in self.nodes if node.op_type == "StreamingCache" for name in node.output}
        return any(
            cached.intersection(node.input)
            for node in self.nodes
            if node.op_type in MODULE_TYPES and MODULE_TYPES[node.op_type].layout.layout is Layout.BROADCAST
        )

    @cached_property
    def mixed_exponents(self) -> list[str]:
        """Operators that do not look at exponents, of nodes whose exponents differ."""
        graph = self.fbs_model.record.graph
        known = {value.name: tuple(value.exponents) for value in (*graph.value_info, *graph.input, *graph.output)}
        known |= {tensor.name: tuple(tensor.exponents) for tensor in graph.initializer}
        return _once(
            node.op_type
            for node in self.nodes
            if node.op_type in EXPONENT_BLIND
            and len({known[name] for name in (*node.input, *node.output) if known.get(name)}) > 1
        )

    def rounds_integers(self, silicon: bool) -> bool:
        """Whether the simulation adds up, or multiplies, 16-bit integers in binary32 where the run is exact.

        A single product is exact in silicon arithmetic only (runtime spec 3.14).
        """
        return any(
            isinstance(text := values.get("quant_type"), str)
            and QuantType.parse(text) is QuantType.SYMM_16BIT
            and node.op_type in MODULE_TYPES
            and ((rules := MODULE_TYPES[node.op_type].quantization).computing or (silicon and rules.multiplies))
            for node, values in zip(self.nodes, self.values, strict=True)
        )


_SPELLING = {QuantType.SYMM_8BIT: "int8", QuantType.SYMM_16BIT: "int16", QuantType.FLOAT32: "float32"}


@dataclass(frozen=True)
class _Rule:
    """One row of the table of causes.

    Attributes:
        found: what in the file shows it, to fill in for ``{}``; empty where it does not hold. Gets what stopped the file here, in
            words, which is empty for a file that passes.
        disagrees: what does, in words.
        passing: rule that was followed where the file passes.
        failing: where it does not; empty for what does not keep a file from running.
    """

    found: Callable[[FileFacts, str], str]
    disagrees: str
    passing: str = SIMULATED
    failing: str = ""


def _untyped(file: FileFacts, stopped: str) -> str:
    """All that ESP-DL has no form of where the file passes, else what stopped it: some of it runs here."""
    return ", ".join(text for op_type, text in file.untyped if not stopped or f"({op_type})" in stopped)


_RULES = (
    _Rule(
        lambda file, stopped: ", ".join(file.unknown) if stopped else "",
        "the file holds {}, no operator of ESP-DL, which the exporter left in",
        failing="as on the chip, a file with an unknown operator does not load",
    ),
    _Rule(
        lambda file, _: ", ".join(file.available(Availability.ABSENT)),
        "the file holds {}, no operator of ESP-DL, which the exporter left in",
    ),
    _Rule(lambda file, _: ", ".join(file.available(Availability.NEWER)), "{} is newer than ESP-DL 3.3.9"),
    _Rule(lambda file, _: ", ".join(file.available(Availability.UNREGISTERED)), "ESP-DL 3.3.9 has {}, but loads no file with it"),
    _Rule(
        _untyped,
        "ESP-DL has no {}",
        passing="computed in the type of the file, as the simulation does",
        failing="refused, naming the node, rather than left undone",
    ),
    _Rule(
        lambda file, _: "yes" if file.counts_parts else "",
        "Split says num_outputs: ESP-DL takes it for the length of a part, the simulation for their number",
        failing="refused: neither reading is chosen in silence",
    ),
    _Rule(
        lambda file, _: "yes" if file.caches_a_residual else "",
        "the exporter feeds the frames of a StreamingCache to an element-wise operator, too: its inputs differ in length",
        failing="refused: the graph of the file cannot run, its values are of the network without caches",
    ),
    _Rule(
        lambda file, stopped: ", ".join(file.mixed_exponents) if stopped else "",
        "{} between tensors of different exponents: ESP-DL does not look at them, the simulation does",
        failing="the chip's rule is followed: raw integers",
    ),
    _Rule(
        lambda file, _: W8A16 if file.with_attribute("quant_type", W8A16) else "",
        "8-bit weights beside 16-bit activations ({}) are newer than ESP-DL 3.3.9",
    ),
    _Rule(
        lambda file, _: "native_kn" if file.with_attribute("input1_layout", "native_kn") else "",
        "input1_layout = {} (a plain second input of MatMul) is newer than ESP-DL 3.3.9",
    ),
)


def causes_of(file: FileFacts, verdict: FileVerdict) -> tuple[Cause, ...]:
    """Why the C++ code, which fails this file, disagrees with its expected values; one cause at least."""
    detail = " ".join(verdict.detail.split())
    stopped = "" if verdict.passed else detail
    held = [(rule, found) for rule in _RULES if (found := rule.found(file, stopped))]
    if verdict.passed:
        causes = [Cause(rule.disagrees.format(found), rule.passing) for rule, found in held]
        return tuple(causes) or (Cause("the C++ code computes other values than the exporter's simulation", SIMULATED),)
    causes = [Cause(rule.disagrees.format(found), rule.failing) for rule, found in held if rule.failing]
    return tuple(causes) or (Cause(f"here: {detail}", "the chip's rules are followed; the difference is not explained"),)


_LAST_PLACES = "the last places of binary32 depend on the order of operations and on the machine's functions"


def tolerances_of(file: FileFacts, verdict: FileVerdict) -> tuple[Tolerance, ...]:
    """Elements of a passing file that are equal only within the tolerance, with the reason."""
    if not verdict.passed:
        return ()
    found = []
    if off := sum(output["off_by_one"] for output in verdict.outputs):
        why = (
            "the simulation multiplies and adds int16 values in binary32, which rounds results of more than 24 bits; here they are exact"
            if file.rounds_integers(verdict.arithmetic == Arithmetic.SILICON.value)
            else "evaluated in binary32 and then rounded: the last place is not defined"
        )
        found.append(Tolerance("int16", off, 1.0, why))
    if inexact := sum(output["inexact"] for output in verdict.outputs):
        largest = max(output["largest"] for output in verdict.outputs if output["inexact"])
        found.append(Tolerance("float32", inexact, largest, _LAST_PLACES))
    return tuple(found)


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
