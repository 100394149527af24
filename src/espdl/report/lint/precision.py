"""Rules about precision: bits that are never used, values that are cut off."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from espdl.dtypes import DType
from espdl.report.interop.subject import attribute
from espdl.report.lint.finding import Finding, Severity
from espdl.report.lint.subject import Subject

_WASTED_BITS = 2
_SATURATED_SHARE = 0.25


def wasted_bits(subject: Subject) -> Iterator[Finding]:
    """Exponents so large that the upper bits stay empty on the data."""
    for name, largest in subject.seen.items():
        bits = {DType.INT8: 8, DType.INT16: 16}.get(subject.types.get(name, DType.FLOAT))
        node = subject.producers.get(name)
        if bits is None or node is None:
            continue
        spare = bits - 1 - math.ceil(math.log2(largest + 1)) if largest else bits - 1
        if spare >= _WASTED_BITS:
            yield Finding(
                "wasted-bits",
                Severity.HINT,
                node.name,
                f"{name!r} reaches {largest} of {2 ** (bits - 1) - 1} on the data: {spare} bits are never used",
                f"its error is {2**spare} times what it could be",
                "calibrate with more typical data, or look whether an Add or Concat forces the exponent",
            )


def saturated_tables(subject: Subject) -> Iterator[Finding]:
    """Tables in which many inputs give the same end of the range."""
    for node in subject.graph.node:
        name = attribute(node, "lut")
        table = subject.constants.get(name) if isinstance(name, str) else None
        if table is None or table.data_type not in (DType.INT8, DType.INT16):
            continue
        limits = np.iinfo(table.data.dtype)
        entries = table.data.reshape(-1)
        for end, word in ((limits.max, "largest"), (limits.min, "smallest")):
            share = float((entries == end).mean())
            if share > _SATURATED_SHARE and node.op_type not in ("Clip", "Sigmoid", "HardSigmoid", "Tanh"):
                yield Finding(
                    "table-saturates",
                    Severity.HINT,
                    node.name,
                    f"{share:.0%} of the inputs give the {word} value, {int(end)}",
                    "large values are cut off",
                    "a larger exponent of the output, where the data reach that far: espdl analyse tells",
                )


def requantize_chains(subject: Subject) -> Iterator[Finding]:
    """Values that are rounded twice on their way."""
    kinds = ("RequantizeLinear", "QuantizeLinear")
    for node in subject.graph.node:
        before = subject.producers.get(node.input[0]) if node.input else None
        if before is None:
            continue
        if node.op_type == before.op_type == "RequantizeLinear":
            text = f"it requantizes what {before.name!r} has just requantized"
        elif node.op_type in kinds and before.op_type == "DequantizeLinear":
            text = f"it quantizes what {before.name!r} has just made float"
        elif node.op_type == "RequantizeLinear" and _same(subject, node.input[0], node.output[0]):
            text = "input and output have the same type and exponent"
        else:
            continue
        yield Finding(
            "requantize-chain",
            Severity.HINT,
            node.name,
            text,
            f"one more rounding, and one more pass over the data{subject.share_text(node)}",
            "give the layers around it one width",
        )


def _same(subject: Subject, first: str, second: str) -> bool:
    return subject.types.get(first) is subject.types.get(second) and subject.exponents.get(first) == subject.exponents.get(second)
