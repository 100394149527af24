"""The ``.info`` text of a model (quantizer spec 12.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from espdl.fbs.records import Attribute, AttributeValue, Graph, Model, Node, Tensor, ValueInfo

_BLOCK = 16
_LINE_WIDTH = 75
_CHUNK = 1000
_LINES = 4096
_BETWEEN = ",\n" + " " * 7


def info_text(record: Model, *, data: bool = True) -> str:
    """The whole model as text: metadata, graph, and every constant, value and test value.

    Args:
        data: whether the elements of tensors are printed; they are as they lie in the file, with the padding.
    """
    return "".join(info_pieces(record, data=data))


def info_pieces(record: Model, *, data: bool = True) -> Iterator[str]:
    """The same in pieces, for a file: the text of a large model takes more memory than the model."""
    return (f"{piece}\n" for piece in _lines(record, data))


def _lines(model: Model, data: bool) -> Iterator[str]:
    graph = model.graph
    yield "model properties:"
    yield "metadata_props:"
    for key, value in model.metadata_props.items():
        yield f"{key}: {value}"
    yield ""
    yield from _graph(graph)
    yield ""
    yield "initializers value:"
    for tensor in graph.initializer:
        yield from _values(tensor, data)
    yield "values info:"
    constants = {tensor.name for tensor in graph.initializer}
    yield from (_value(value) for value in graph.value_info if value.name not in constants)
    yield "test inputs value:"
    for tensor in graph.test_inputs_value:
        yield from _values(tensor, data)
    yield "test outputs value:"
    for tensor in graph.test_outputs_value:
        yield from _values(tensor, data)


def _graph(graph: Graph) -> Iterator[str]:
    yield f"graph {graph.name} ("
    for value in graph.input:
        yield f"  {_value(value)}"
    yield ") initializers ("
    for tensor in graph.initializer:
        yield f"  %{tensor.name}[{tensor.data_type.name}, {_shape(tensor.dims)}]"
    yield ") {"
    for node in graph.node:
        yield f"  {_node(node)}"
    yield f"  return {_names([value.name for value in graph.output])}"
    yield "}"


def _value(value: ValueInfo) -> str:
    shape = "" if value.shape is None else f", {_shape(value.shape)}"
    return f"%{value.name}[{value.data_type.name}{shape}], exponents: {list(value.exponents)}"


def _shape(dims: Sequence[int]) -> str:
    return "x".join(map(str, dims)) if dims else "scalar"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"%{name}" for name in names)


def _node(node: Node) -> str:
    attributes = ", ".join(map(_attribute, sorted(node.attribute, key=lambda attribute: attribute.name)))
    head = f"{_names(node.output)} = {node.op_type}" + (f"[{attributes}]" if attributes else "")
    return f"{head}({_names(node.input)})"


def _attribute(attribute: Attribute) -> str:
    return f"{attribute.name} = {_attribute_value(attribute.value)}"


def _attribute_value(value: AttributeValue) -> str:
    if isinstance(value, Tensor):
        return f"<Tensor {value.data_type.name}, {_shape(value.dims)}>"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_attribute_value, value)) + "]"
    return repr(value)


def _values(tensor: Tensor, data: bool) -> Iterator[str]:
    """Header and elements of a tensor; the elements in blocks of 16 bytes as in the file."""
    doc = f" docString: {tensor.doc_string.encode()!r}," if tensor.doc_string else ""
    yield f"%{tensor.name}, shape: {list(tensor.dims)}, exponents: {list(tensor.exponents)},{doc}"
    if data:
        raw = tensor.data.tobytes()
        label = "value: "
        for piece in _array(np.frombuffer(raw + bytes(-len(raw) % _BLOCK), tensor.data_type.numpy)):
            yield label + piece
            label = ""


def _array(values: NDArray) -> Iterator[str]:
    """What ``repr`` gives for a flat array, without its time that grows with the square of the size; some lines at a time."""
    text, start = "array([", ""
    for lines in _lines_of(values):
        if start:
            yield text + ","
            text = ""
        text += start + _BETWEEN.join(lines)
        start = " " * 7
    text += "]"
    if values.size and values.dtype in (np.int64, np.float64, np.bool_):
        yield text + ")"
        return
    suffix = f"dtype={values.dtype.name})"
    fits = len(text) - text.rfind("\n") + 1 + len(suffix) <= _LINE_WIDTH
    yield f"{text},{' ' if fits else chr(10) + ' ' * 6}{suffix}"


def _lines_of(values: NDArray) -> Iterator[list[str]]:
    """The lines of an array, without what stands between them, some at a time."""
    if values.dtype.kind == "i" and values.size and int(values.max()) - int(values.min()) < values.size:
        yield from _integer_lines(values)
        return
    words = _words(values)
    width = max(map(len, words), default=0)
    per_line = max((_LINE_WIDTH - 7) // (width + 2), 1)
    yield [", ".join(words[start : start + per_line]) for start in range(0, len(words), per_line)]


def _integer_lines(values: NDArray) -> Iterator[list[str]]:
    """The lines of many integers of few values, through a table of what each value is written as."""
    low, high = int(values.min()), int(values.max())
    width = max(len(str(low)), len(str(high)))
    per_line = max((_LINE_WIDTH - 7) // (width + 2), 1)
    table = np.array([f"{value:>{width}}, " for value in range(low, high + 1)], f"S{width + 2}")
    stride, count = per_line * (width + 2), per_line * _LINES
    for start in range(0, values.size, count):
        text = table[values[start : start + count].astype(np.intp) - low].tobytes().decode("ascii")
        yield [text[at : min(at + stride, len(text)) - 2] for at in range(0, len(text), stride)]


def _words(values: NDArray) -> list[str]:
    """The elements as text of one width."""
    if values.dtype.kind == "f":
        chunks = [values[start : start + _CHUNK] for start in range(0, values.size, _CHUNK)]
        with np.printoptions(threshold=_CHUNK, linewidth=40 * _CHUNK, precision=8, floatmode="maxprec", suppress=False):
            words = [word for chunk in chunks for word in np.array2string(chunk, separator=",")[1:-1].split(",")]
    else:
        words = [str(value) for value in values.tolist()]
    width = 5 if values.dtype.kind == "b" else max(map(len, words), default=0)
    return [word.rjust(width) for word in words]
