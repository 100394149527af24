"""Rules about right results: accumulators, shifts, memory, quirks, firmware."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from espdl.chips import Overflow
from espdl.dl.module import MODULE_TYPES
from espdl.dl.module.contract import Availability
from espdl.report.interop.subject import attribute
from espdl.report.lint.finding import Finding, Severity
from espdl.report.lint.subject import Subject
from espdl.wording import counted


def accumulators(subject: Subject) -> Iterator[Finding]:
    """Sums that may leave their accumulator: per output channel, bias and all products of one sign against its width (spec 3.2)."""
    for entry in subject.filters:
        low, high = entry.source
        products = np.stack([entry.weights * low, entry.weights * high])
        largest = entry.bias + np.maximum(products.max(axis=0), 0).sum(axis=0)
        smallest = entry.bias + np.minimum(products.min(axis=0), 0).sum(axis=0)
        magnitude = np.maximum(largest, -smallest - 1)
        for lanes in entry.lanes:
            limit = 2 ** (lanes.accumulator.bits - 1) - 1
            part = magnitude[lanes.start : lanes.stop]
            if not part.size or part.max() <= limit or lanes.accumulator.overflow is not Overflow.SATURATE:
                continue
            channel = lanes.start + int(part.argmax())
            met = subject.overflows.get(entry.node.name, 0)
            seen = f"; {counted(met, 'sum')} did on the data" if met else "; none did on the data" if subject.seen else ""
            yield Finding(
                "accumulator",
                Severity.ERROR if met else Severity.WARNING if not subject.seen else Severity.HINT,
                entry.node.name,
                f"{np.count_nonzero(part > limit)} of {part.size} output channels may leave the {lanes.accumulator.bits}-bit accumulator: "
                f"channel {channel} can reach {int(magnitude[channel])} with inputs of {low} to {high}, and {limit} is the largest{seen}",
                "the sum saturates: results differ from reference arithmetic",
                "quantize this layer with 16 bits (dispatching_table), or give it a larger weight exponent",
            )


def left_shifts(subject: Subject) -> Iterator[Finding]:
    """Results that would have to be shifted to the left."""
    for entry in subject.filters:
        output, source = subject.exponents.get(entry.node.output[0]), subject.exponents.get(entry.node.input[0])
        exponents = subject.constants[entry.node.input[1]].exponents
        if output is None or source is None or not exponents:
            continue
        shift = output - source - max(exponents)
        if shift < 0:
            yield Finding(
                "left-shift",
                Severity.ERROR,
                entry.node.name,
                f"the sum is shifted to the left by {-shift}: exponents {output} of the output, {source} of the input, {max(exponents)} "
                "of the weight",
                "vector units shift to the right only: what they give is garbage",
                "quantize the network again; espdl never writes such files",
            )


def memory_hazards(subject: Subject) -> Iterator[Finding]:
    """Tensors that the chip's own memory plan overwrites too early."""
    for hazard in subject.model.memory.plan.hazards:
        node = subject.producers.get(hazard.tensor)
        yield Finding(
            "memory-hazard",
            Severity.ERROR,
            node.name if node else "",
            str(hazard),
            "results are wrong on the chip, and here, where the same plan is followed",
            "export the network with espdl, which orders files so that none arises",
        )


def quirks(subject: Subject) -> Iterator[Finding]:
    """Operators that give something else than ONNX says."""
    for found in subject.model.quirks():
        yield Finding(
            "quirk",
            Severity.HINT,
            found.node,
            f"{found.op_type}: ESP-DL {found.quirk.chip}; ONNX says {found.quirk.onnx}",
            "the float network and the chip differ here",
            "espdl run --strict-onnx shows how much it matters",
        )


def firmware(subject: Subject) -> Iterator[Finding]:
    """Operators that the firmware may not have."""
    for node in subject.graph.node:
        module = MODULE_TYPES[node.op_type]
        if module.contract.availability is not Availability.REGISTERED:
            yield Finding(
                "firmware",
                Severity.WARNING,
                node.name,
                f"{node.op_type}: {module.contract.availability.value}",
                "the model does not load on a chip whose firmware lacks it",
                "register it, update ESP-DL, or replace the operator in the network",
            )


def dead_nodes(subject: Subject) -> Iterator[Finding]:
    """Nodes whose results nobody reads."""
    outputs = {value.name for value in subject.graph.output}
    for node in subject.graph.node:
        if not any(name in outputs or name in subject.consumers for name in node.output):
            yield Finding(
                "dead-node",
                Severity.WARNING,
                node.name,
                f"nothing reads what {node.op_type} gives, and it is no output",
                f"time and memory for nothing{subject.share_text(node)}",
                "remove it from the network before export",
            )


def float_nodes(subject: Subject) -> Iterator[Finding]:
    """Nodes that compute in float between integers."""
    for node in subject.graph.node:
        if attribute(node, "quant_type") == "F32" and node.op_type not in (
            "DequantizeLinear",
            "QuantizeLinear",
            "Softmax",
            "LogSoftmax",
        ):
            yield Finding(
                "float-node",
                Severity.HINT,
                node.name,
                f"{node.op_type} runs in float32",
                f"several times slower than on integers{subject.share_text(node)}, and four times the memory",
                "quantize it (dispatching_table) where accuracy allows",
            )
