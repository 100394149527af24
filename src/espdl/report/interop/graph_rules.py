"""Rules about what the file says: operators, attributes, exponents, tables, test values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from espdl.dl.module import MODULE_TYPES
from espdl.dl.module.contract import Availability
from espdl.dtypes import DType
from espdl.fbs.records import Tensor
from espdl.report.interop.subject import Subject, at, attribute, is_grouped

_QUANT_TYPES = {"S8", "SYMM_S8", "S16", "SYMM_S16", "S32", "SYMM_S32", "W8A16", "F32"}
_ACTIVATIONS = {"None", "Linear", "Relu"}
_WEIGHTED = ("Conv", "Gemm")
_ENTRIES_8, _VALUES_16 = 256, 65536


def attributes(subject: Subject) -> Iterator[str]:
    for node in subject.graph.node:
        names = [entry.name for entry in node.attribute]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{at(node)}: attribute {name!r} is there twice"
        for entry in node.attribute:
            if isinstance(entry.value, list) and not entry.value:
                yield f"{at(node)}: attribute {entry.name!r} is an empty list"


def operators(subject: Subject) -> Iterator[str]:
    for node in subject.graph.node:
        module = MODULE_TYPES.get(node.op_type)
        if module is None:
            yield f"{at(node)}: ESP-DL has no such operator"
        elif module.contract.availability is not Availability.REGISTERED:
            yield f"{at(node)}: {module.contract.availability.value}"


def quant_types(subject: Subject) -> Iterator[str]:
    for node in subject.graph.node:
        found = attribute(node, "quant_type")
        if found is None:
            yield f"{at(node)}: there is none"
        elif found not in _QUANT_TYPES:
            yield f"{at(node)}: {found!r} is unknown"


def activations(subject: Subject) -> Iterator[str]:
    for node in subject.graph.node:
        found = attribute(node, "activation")
        if node.op_type in _WEIGHTED and found is not None and found not in _ACTIVATIONS:
            yield f"{at(node)}: activation {found!r}"


def shapes(subject: Subject) -> Iterator[str]:
    graph = subject.graph
    for name in dict.fromkeys(chain((v.name for v in graph.input), *(node.output for node in graph.node))):
        value = subject.values.get(name)
        if not name:
            continue
        if value is None:
            yield f"variable {name!r}: there is no value_info"
        elif value.data_type is DType.UNDEFINED or value.shape is None:
            yield f"variable {name!r}: its value_info lacks {'the type' if value.shape is not None else 'the shape'}"
        elif len(value.exponents) > 1:
            yield f"variable {name!r}: {len(value.exponents)} exponents, and ESP-DL takes the first"


def exponents(subject: Subject) -> Iterator[str]:
    allowed: dict[str, int] = {}
    for node in subject.graph.node:
        if node.op_type in _WEIGHTED and len(node.input) > 1 and node.input[1] in subject.constants:
            weight = subject.constants[node.input[1]]
            channels = (weight.dims[-2] if is_grouped(node) else weight.dims[-1]) if len(weight.dims) > 1 else 0
            allowed.update(dict.fromkeys(node.input[1:3], channels))
    for tensor in subject.graph.initializer:
        count = len(tensor.exponents)
        if tensor.data_type not in (DType.FLOAT, DType.DOUBLE) and not count:
            yield f"constant {tensor.name!r}: it has no exponent"
        elif count > 1 and count != allowed.get(tensor.name):
            yield f"constant {tensor.name!r}: {count} exponents, and it is no weight of {count} output channels"
        elif count > 1 and subject.chip is not None and not subject.chip.per_channel_weights:
            yield f"constant {tensor.name!r}: {count} exponents, and {subject.chip.name} takes one"


def _sums(subject: Subject) -> Iterator[tuple[str, Tensor | None, tuple[int, ...], str, list[int]]]:
    """Of each quantized Conv and Gemm: the place, bias, exponents of the output, quant_type, and input's plus weight's exponents."""
    for node in subject.graph.node:
        quant_type = attribute(node, "quant_type")
        if node.op_type not in _WEIGHTED or quant_type == "F32" or len(node.input) < 2:
            continue
        source, weight = subject.exponents_of(node.input[0]), subject.exponents_of(node.input[1])
        if len(source) == 1 and weight:
            bias = subject.constants.get(node.input[2]) if len(node.input) > 2 else None
            yield at(node), bias, subject.exponents_of(node.output[0]), str(quant_type), [source[0] + one for one in weight]


def biases(subject: Subject) -> Iterator[str]:
    for place, bias, _, quant_type, sums in _sums(subject):
        if bias is None:
            continue
        wanted = DType.INT32 if quant_type in ("S8", "SYMM_S8") else DType.INT64
        if bias.data_type is not wanted:
            yield f"{place}: its bias is {bias.data_type.name}, not {wanted.name}"
        if list(bias.exponents) not in (sums, [sums[0]] * len(bias.exponents)):
            yield f"{place}: its bias has exponents {list(bias.exponents)[:4]}, and input's plus weight's are {sums[:4]}"


def shifts(subject: Subject) -> Iterator[str]:
    for place, _, output, _, sums in _sums(subject):
        if len(output) == 1 and output[0] < max(sums):
            yield f"{place}: the sum is shifted to the left by {max(sums) - output[0]}"


def tables(subject: Subject) -> Iterator[str]:
    for node in subject.graph.node:
        name = attribute(node, "lut")
        table = subject.constants.get(name) if isinstance(name, str) else None
        if table is None or not node.output:
            continue
        output = subject.values.get(node.output[0])
        size = table.data.size
        if table.data_type is DType.INT8:
            if size != _ENTRIES_8:
                yield f"{at(node)}: its table has {size} entries, not 256"
        elif table.data_type is DType.INT16:
            if size != _VALUES_16 and (size < 2 or _VALUES_16 % (size - 1)):
                yield f"{at(node)}: its table has {size} entries, which is no 65536 / step + 1"
        else:
            yield f"{at(node)}: its table is {table.data_type.name}"
        if output is not None and output.exponents and table.exponents[:1] != output.exponents[:1]:
            yield f"{at(node)}: its table has exponent {list(table.exponents)}, its output {list(output.exponents)}"


def test_values(subject: Subject) -> Iterator[str]:
    inputs = {value.name for value in subject.graph.input}
    for kind, tensors in (("input", subject.graph.test_inputs_value), ("output", subject.graph.test_outputs_value)):
        for tensor in tensors:
            value = subject.values.get(tensor.name)
            if value is None or (kind == "input" and tensor.name not in inputs):
                yield f"test {kind} {tensor.name!r}: there is no such {'graph input' if kind == 'input' else 'variable'}"
                continue
            if value.shape is not None and tuple(tensor.dims) not in (tuple(value.shape), (1,) if not value.shape else ()):
                yield f"test {kind} {tensor.name!r}: its shape is {list(tensor.dims)}, the variable's {list(value.shape)}"
            if tensor.data_type is not value.data_type:
                yield f"test {kind} {tensor.name!r}: it is {tensor.data_type.name}, the variable {value.data_type.name}"
            elif tensor.data_type is not DType.FLOAT and tensor.exponents[:1] != value.exponents[:1]:
                yield f"test {kind} {tensor.name!r}: its exponent is {list(tensor.exponents)}, the variable's {list(value.exponents)}"
