"""Rules about bytes: container, alignment, padding, packing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

from espdl.alignment import ALIGNMENT, round_up
from espdl.errors import EspdlError
from espdl.fbs.container import ModelFormat
from espdl.fbs.flat import FlatBuffer, Table
from espdl.fbs.layout import GraphField, ModelField, TensorField
from espdl.fbs.packing import packing_tag, parse_packing_tag
from espdl.fbs.records import Tensor
from espdl.report.interop.subject import Subject, at, attribute, is_grouped

_BLOCK = 16


def container(subject: Subject) -> Iterator[str]:
    entry = subject.entry
    if entry.format is not ModelFormat.EDL2:
        yield f"header: {entry.format.name}, whose payload is not on a 16-byte border, so parameters are always copied"
        return
    padding = bytes(subject.container.data[entry.offset + 12 : entry.offset + 16])
    if padding != bytes(4):
        yield f"header: bytes 12 to 15 are {padding.hex(' ')}, not zero"
    if entry.length % _BLOCK:
        yield f"header: the payload has {entry.length} bytes, not a multiple of 16"


def payload_place(subject: Subject) -> Iterator[str]:
    if subject.entry.payload_offset % ALIGNMENT:
        yield f"byte {subject.entry.payload_offset}: the payload begins here, and every parameter is copied"


def tensor_storage(subject: Subject) -> Iterator[str]:
    yield from _tensors(subject, _misplaced)


def tensor_padding(subject: Subject) -> Iterator[str]:
    yield from _tensors(subject, _unclean)


def _tensors(subject: Subject, look: Callable[[Table, memoryview], str]) -> Iterator[str]:
    """What ``look`` says of the tensors of a file, with their names."""
    graph = FlatBuffer(subject.payload).root("model").table(ModelField.GRAPH, "graph")
    if graph is None:
        return
    places: list[tuple[str, int, list[Tensor]]] = [
        ("constant", GraphField.INITIALIZER, subject.graph.initializer),
        ("test input", GraphField.TEST_INPUTS, subject.graph.test_inputs_value),
        ("test output", GraphField.TEST_OUTPUTS, subject.graph.test_outputs_value),
    ]
    for kind, slot, records in places:
        found: list[str] = graph.each(slot, kind, lambda table: look(table, subject.payload))
        for tensor, wrong in zip(records, found, strict=True):
            if wrong and tensor.data.size:
                yield f"{kind} {tensor.name!r}: {wrong}"


def _misplaced(table: Table, payload: memoryview) -> str:
    if not table.has(TensorField.RAW_DATA):
        return "its data are not in raw_data, where ESP-DL looks for them"
    start, blocks = table.vector(TensorField.RAW_DATA, _BLOCK, "raw_data")
    if start % _BLOCK:
        return f"its data begin at byte {start} of the FlatBuffer, not on a 16-byte border"
    size = _size(table)
    return "" if blocks * _BLOCK == round_up(size, _BLOCK) else f"it has {blocks} blocks of 16 bytes for {size} bytes"


def _unclean(table: Table, payload: memoryview) -> str:
    if not table.has(TensorField.RAW_DATA):
        return ""
    start, blocks = table.vector(TensorField.RAW_DATA, _BLOCK, "raw_data")
    return "the bytes behind its data are not zero" if any(payload[start + _size(table) : start + blocks * _BLOCK]) else ""


def _size(table: Table) -> int:
    """Bytes of a tensor by its dims."""
    return prod(table.int64s(TensorField.DIMS, "dims")) * _ITEMSIZE.get(table.int32(TensorField.DATA_TYPE), 1)


_ITEMSIZE = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8}
"""Bytes of an element by the number of its type in the file."""


def packed_weights(subject: Subject) -> Iterator[str]:
    for node in subject.graph.node:
        quant_type = attribute(node, "quant_type")
        if node.op_type not in ("Conv", "Gemm") or quant_type == "F32" or len(node.input) < 2:
            continue
        weight = subject.constants.get(node.input[1])
        if weight is None:
            continue
        try:
            tag = parse_packing_tag(weight.doc_string)
        except EspdlError as error:
            yield f"{at(node)}: weight {weight.name!r}: {error.what}"
            continue
        if tag is None:
            yield f"{at(node)}: weight {weight.name!r} has no tag of its packing"
            continue
        spatial = len(weight.dims) - 2
        if node.op_type == "Gemm" and (spatial != 2 or weight.dims[:2] != (1, 1)):
            yield f"{at(node)}: weight {weight.name!r} has dims {list(weight.dims)}, not [1, 1, inputs, outputs]"
            continue
        if subject.chip is None:
            continue
        depthwise = is_grouped(node)
        channels = weight.dims[-2] if depthwise else weight.dims[-1]
        lanes = subject.chip.lanes(1 if quant_type == "S8" else 2)
        wanted = packing_tag(subject.chip.packing, lanes, channels, spatial=spatial, depthwise=depthwise)
        written = weight.doc_string.rpartition(" ")[2]
        if parse_packing_tag(wanted) != tag:
            yield f"{at(node)}: weight {weight.name!r} is packed {written}, and {subject.chip.name} reads {wanted}"
