"""The table of storage rules. Each yields what it finds wrong, in words that begin with the place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from espdl.report.interop.graph_rules import (
    activations,
    attributes,
    biases,
    exponents,
    operators,
    quant_types,
    shapes,
    shifts,
    tables,
    test_values,
)
from espdl.report.interop.storage_rules import container, packed_weights, payload_place, tensor_padding, tensor_storage
from espdl.report.interop.subject import Subject


@dataclass(frozen=True)
class Rule:
    """One rule: its name, what it says, where it stands, and what finds violations.

    ``must`` tells whether ESP-DL fails where it is broken; otherwise it computes something else than is meant, or complains.
    """

    name: str
    text: str
    spec: str
    find: Callable[[Subject], Iterator[str]]
    must: bool = True


RULES: tuple[Rule, ...] = (
    Rule("container", "the header is that of EDL2, and the payload a multiple of 16 bytes", "runtime 1.2", container),
    Rule("payload", "the FlatBuffer begins on a 16-byte border of the file", "runtime 1.1", payload_place),
    Rule("tensor data", "raw_data in whole 16-byte blocks on 16-byte borders", "runtime 1.1", tensor_storage),
    Rule("padding", "zeros behind the data of a tensor, to the end of its last block", "runtime 1.1", tensor_padding, False),
    Rule("attributes", "attributes have the kinds that the typed getters read", "runtime 1.1", attributes),
    Rule("operators", "every operator is registered in ESP-DL 3.3.9", "runtime 3.0.2", operators),
    Rule("quant_type", "every node has one of S8, S16, W8A16, F32", "quantizer 11.4", quant_types),
    Rule("activation", "Conv and Gemm fuse nothing but Relu", "runtime 1.1", activations),
    Rule("shapes", "every variable has a type, a shape and one exponent", "quantizer 12.2", shapes),
    Rule("exponents", "one exponent, or one for each output channel of a weight and its bias", "runtime 1.5", exponents),
    Rule("weights", "filters are packed as the chip reads them, and their tag says so", "runtime 1.5", packed_weights),
    Rule(
        "bias", "int32 under 8-bit activations, int64 under 16-bit; its exponent is input's plus weight's", "runtime 1.5", biases
    ),
    Rule(
        "shift",
        "results are shifted to the right: output exponent - input's - weight's is not negative",
        "runtime 1.5",
        shifts,
        False,
    ),
    Rule("tables", "256 entries at 8 bits, 65536 / step + 1 at 16; the exponent is the output's", "runtime 1.5", tables),
    Rule("test values", "named and shaped as the tensors they stand for, with their exponents", "quantizer 11.9", test_values),
)
