"""From the bytes of a model (without container) to :mod:`records`.

Nothing is believed before it is checked: see :mod:`flat` for offsets and lengths; here element types, dimensions and the length of
tensor data. What nodes say about each other is checked by :mod:`validate`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
from numpy.typing import NDArray

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs.flat import FlatBuffer, Table
from espdl.fbs.layout import (
    AttributeField,
    DimensionField,
    DimensionValueField,
    EntryField,
    GraphField,
    ModelField,
    NodeField,
    TensorField,
    TensorTypeField,
    TypeInfoField,
    ValueInfoField,
)
from espdl.fbs.records import Attribute, AttributeValue, Graph, Model, Node, Tensor, ValueInfo

MAX_RANK = 32
MAX_DIMENSION = 0x7FFFFFFF
"""Of one dimension and of the number of elements: the chip holds both in an int."""

MAX_EXPONENT = 1024
"""Beyond any exponent of a binary32 value; keeps sums of exponents far from overflow."""

_TYPES: dict[int, DType] = {int(dtype): dtype for dtype in DType}
_EXTERNAL = 1
_TENSOR_TYPE = 1
_FIXED_DIMENSION = 1


def read_model(data: bytes | bytearray | memoryview, *, source: str = "") -> Model:
    """Reads the FlatBuffer of a model.

    Args:
        data: the payload of a container (see :mod:`container`).
        source: name of the file, for error messages.

    Returns:
        The model. Its tensors are read-only views of ``data``; the few that are not aligned to their element size are copies.

    Raises:
        EspdlError: names the table and the byte where the file is damaged or holds what no ESP-DL model holds.
    """
    try:
        return _model(FlatBuffer(data).root("model"))
    except EspdlError as error:
        raise (error.at(source) if source else error) from None


def _model(table: Table) -> Model:
    graph = table.table(ModelField.GRAPH, "graph")
    if graph is None:
        raise table.error("the model has no graph")
    if table.vector(ModelField.FUNCTIONS, 4, "functions")[1]:
        raise table.error("the model defines functions, which ESP-DL does not run")
    metadata: dict[str, str] = {}
    for key, value in table.each(ModelField.METADATA_PROPS, "metadata_props", _entry):
        metadata.setdefault(key, value)
    return Model(
        graph=_graph(graph),
        ir_version=table.int32(ModelField.IR_VERSION),
        producer_name=table.string(ModelField.PRODUCER_NAME, "producer_name"),
        producer_version=table.string(ModelField.PRODUCER_VERSION, "producer_version"),
        domain=table.string(ModelField.DOMAIN, "domain"),
        model_version=table.int64(ModelField.MODEL_VERSION),
        doc_string=table.string(ModelField.DOC_STRING, "doc_string"),
        opset_import=tuple(table.each(ModelField.OPSET_IMPORT, "opset_import", _opset)),
        metadata_props=metadata,
    )


def _entry(table: Table) -> tuple[str, str]:
    return table.string(EntryField.KEY, "key"), table.string(EntryField.VALUE, "value")


def _opset(table: Table) -> tuple[str, int]:
    return table.string(EntryField.KEY, "domain"), table.int64(EntryField.VALUE)


def _graph(table: Table) -> Graph:
    return Graph(
        name=table.string(GraphField.NAME, "name"),
        node=table.each(GraphField.NODE, "node", _node),
        initializer=table.each(GraphField.INITIALIZER, "initializer", _tensor),
        input=table.each(GraphField.INPUT, "input", _value_info),
        output=table.each(GraphField.OUTPUT, "output", _value_info),
        value_info=table.each(GraphField.VALUE_INFO, "value_info", _value_info),
        test_inputs_value=table.each(GraphField.TEST_INPUTS, "test_inputs_value", _tensor),
        test_outputs_value=table.each(GraphField.TEST_OUTPUTS, "test_outputs_value", _tensor),
        doc_string=table.string(GraphField.DOC_STRING, "doc_string"),
    )


def _node(table: Table) -> Node:
    op_type = table.string(NodeField.OP_TYPE, "op_type")
    if not op_type:
        raise table.error("the node has no op_type")
    return Node(
        op_type=op_type,
        name=table.string(NodeField.NAME, "name"),
        input=table.strings(NodeField.INPUT, "input"),
        output=table.strings(NodeField.OUTPUT, "output"),
        attribute=table.each(NodeField.ATTRIBUTE, "attribute", _attribute),
        domain=table.string(NodeField.DOMAIN, "domain"),
        doc_string=table.string(NodeField.DOC_STRING, "doc_string"),
    )


def _attribute(table: Table) -> Attribute:
    name = table.string(AttributeField.NAME, "name")
    kind = table.int32(AttributeField.ATTR_TYPE)
    read = _ATTRIBUTE_READERS.get(kind)
    if read is None:
        raise table.error(f"attribute {name!r} is of type {kind}, which no ESP-DL operator has")
    value = read(table)
    if value is None:
        raise table.error(f"attribute {name!r} has no value")
    return Attribute(name, value)


def _tensor_attribute(table: Table) -> Tensor | None:
    tensor = table.table(AttributeField.TENSOR, "t")
    return None if tensor is None else _tensor(tensor)


_ATTRIBUTE_READERS: dict[int, Callable[[Table], AttributeValue | None]] = {
    1: lambda table: table.float32(AttributeField.FLOAT) if table.has(AttributeField.FLOAT) else None,
    2: lambda table: table.int64(AttributeField.INT) if table.has(AttributeField.INT) else None,
    3: lambda table: table.text(AttributeField.STRING, "s"),
    4: _tensor_attribute,
    6: lambda table: list(table.float32s(AttributeField.FLOATS, "floats")),
    7: lambda table: list(table.int64s(AttributeField.INTS, "ints")),
    8: lambda table: table.strings(AttributeField.STRINGS, "strings"),
}


def _value_info(table: Table) -> ValueInfo:
    dtype, shape = DType.UNDEFINED, None
    type_info = table.table(ValueInfoField.TYPE, "value_info_type")
    if type_info is not None:
        kind = type_info.uint8(TypeInfoField.VALUE_TYPE)
        tensor_type = type_info.table(TypeInfoField.VALUE, "value")
        if kind != _TENSOR_TYPE or tensor_type is None:
            raise type_info.error(f"the value is not a tensor (type {kind})")
        dtype = _data_type(tensor_type, TensorTypeField.ELEM_TYPE)
        shape_table = tensor_type.table(TensorTypeField.SHAPE, "shape")
        if shape_table is not None:
            shape = tuple(shape_table.each(0, "dim", _dimension))
            _check_dims(shape_table, shape)
    return ValueInfo(
        name=table.string(ValueInfoField.NAME, "name"),
        data_type=dtype,
        shape=shape,
        exponents=_exponents(table, ValueInfoField.EXPONENTS),
        doc_string=table.string(ValueInfoField.DOC_STRING, "doc_string"),
    )


def _dimension(table: Table) -> int:
    value = table.table(DimensionField.VALUE, "value")
    if value is None or value.uint8(DimensionValueField.DIM_TYPE) != _FIXED_DIMENSION:
        raise table.error("a dimension has no fixed size, and ESP-DL runs fixed shapes only")
    return value.int64(DimensionValueField.DIM_VALUE)


def _data_type(table: Table, slot: int) -> DType:
    number = table.int32(slot)
    dtype = _TYPES.get(number)
    if dtype is None:
        raise table.error(f"there is no element type {number}")
    return dtype


def _exponents(table: Table, slot: int) -> tuple[int, ...]:
    exponents = table.int64s(slot, "exponents")
    if exponents and not -MAX_EXPONENT <= min(exponents) <= max(exponents) <= MAX_EXPONENT:
        raise table.error(f"exponent {max(exponents, key=abs)} is out of range")
    return exponents


def _check_dims(table: Table, dims: tuple[int, ...]) -> int:
    """Number of elements."""
    if len(dims) > MAX_RANK:
        raise table.error(f"{len(dims)} dimensions are more than {MAX_RANK}")
    for dim in dims:
        if not 0 <= dim <= MAX_DIMENSION:
            raise table.error(f"a dimension is {dim}")
    if prod(dim or 1 for dim in dims) > MAX_DIMENSION:
        raise table.error(f"a tensor of shape {list(dims)} has too many elements")
    return prod(dims)


def _tensor(table: Table) -> Tensor:
    dims = table.int64s(TensorField.DIMS, "dims")
    dtype = _data_type(table, TensorField.DATA_TYPE)
    if table.int32(TensorField.DATA_LOCATION) == _EXTERNAL:
        raise table.error("the tensor's data lies outside the file")
    if dtype in (DType.UNDEFINED, DType.STRING):
        raise table.error(f"the tensor is of type {dtype.name} and holds no numbers")
    return Tensor(
        name=table.string(TensorField.NAME, "name"),
        dims=dims,
        data_type=dtype,
        data=_data(table, dtype, _check_dims(table, dims)).reshape(dims),
        exponents=_exponents(table, TensorField.EXPONENTS),
        doc_string=table.string(TensorField.DOC_STRING, "doc_string"),
    )


def _data(table: Table, dtype: DType, size: int) -> NDArray:
    """The elements of a tensor, flat."""
    if table.has(TensorField.RAW_DATA):
        start, blocks = table.vector(TensorField.RAW_DATA, 16, "raw_data")
        if size * dtype.itemsize > blocks * 16:
            raise table.error(f"dims ask for {size * dtype.itemsize} bytes, the tensor has {blocks * 16}", start)
        return _view(table, dtype.numpy, start, size)
    slot, stored = _TYPED_DATA.get(dtype, (TensorField.INT32_DATA, np.dtype("<i4")))
    start, count = table.vector(slot, stored.itemsize, "data")
    if size > count:
        raise table.error(f"dims ask for {size} elements, the tensor has {count}", start)
    values = _view(table, stored, start, size)
    if stored == dtype.numpy:
        return values
    # ONNX keeps the narrow types in 32-bit fields; binary16 as its bit pattern
    narrow = values.astype(np.uint16).view(np.float16) if dtype is DType.FLOAT16 else values.astype(dtype.numpy)
    narrow.flags.writeable = False
    return narrow


def _view(table: Table, dtype: np.dtype, start: int, size: int) -> NDArray:
    if not size:
        return np.frombuffer(b"", dtype)
    view = np.frombuffer(table.buffer.data, dtype, size, start)
    if dtype.kind == "b" and int(view.view(np.uint8).max()) > 1:
        raise table.error("a BOOL tensor holds values other than 0 and 1", start)
    if not view.flags.aligned:
        view = view.copy()
        view.flags.writeable = False
    return view


_TYPED_DATA: dict[DType, tuple[int, np.dtype]] = {
    DType.FLOAT: (TensorField.FLOAT_DATA, np.dtype("<f4")),
    DType.DOUBLE: (TensorField.DOUBLE_DATA, np.dtype("<f8")),
    DType.INT64: (TensorField.INT64_DATA, np.dtype("<i8")),
    DType.UINT64: (TensorField.UINT64_DATA, np.dtype("<u8")),
    DType.UINT32: (TensorField.UINT64_DATA, np.dtype("<u8")),
}
