"""The reader: what it makes of good files, and where it says that a bad one is bad."""

from __future__ import annotations

import struct
import time
import tracemalloc
import warnings
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import read_container, read_model
from espdl.fbs.flat import FlatBuffer, Table
from espdl.fbs.generated import schema
from espdl.fbs.layout import AttributeField, GraphField, ModelField, NodeField, TensorField
from espdl.fbs.records import Model, Tensor


def text(value: bytes | None) -> str:
    return "" if value is None else value.decode()


def compare_tensor(record: Tensor, generated) -> None:
    assert record.name == text(generated.Name())
    assert record.doc_string == text(generated.DocString())
    assert list(record.dims) == [generated.Dims(i) for i in range(generated.DimsLength())]
    assert record.data_type == generated.DataType()
    assert list(record.exponents) == [generated.Exponents(i) for i in range(generated.ExponentsLength())]
    if record.data.size:
        start = generated.RawData(0)._tab.Pos
        assert record.data.tobytes() == bytes(generated._tab.Bytes[start : start + record.data.nbytes])


def compare_attribute(record, generated) -> None:
    assert record.name == text(generated.Name())
    kind, value = generated.AttrType(), record.value
    if kind == schema.AttributeType.INT:
        assert value == generated.I().I()
    elif kind == schema.AttributeType.FLOAT:
        assert value == generated.F().F()
    elif kind == schema.AttributeType.STRING:
        assert value.encode() == bytes(generated.S(i) for i in range(generated.SLength()))
    elif kind == schema.AttributeType.INTS:
        assert value == [generated.Ints(i) for i in range(generated.IntsLength())]
    elif kind == schema.AttributeType.FLOATS:
        assert value == [generated.Floats(i) for i in range(generated.FloatsLength())]
    elif kind == schema.AttributeType.STRINGS:
        assert value == [text(generated.Strings(i)) for i in range(generated.StringsLength())]
    else:
        assert kind == schema.AttributeType.TENSOR
        compare_tensor(value, generated.T())


def compare_value(record, generated) -> None:
    assert record.name == text(generated.Name())
    assert list(record.exponents) == [generated.Exponents(i) for i in range(generated.ExponentsLength())]
    union = generated.ValueInfoType().Value()
    tensor_type = schema.TensorTypeAndShape()
    tensor_type.Init(union.Bytes, union.Pos)
    assert record.data_type == tensor_type.ElemType()
    shape = tensor_type.Shape()
    if shape is None:
        assert record.shape is None
    else:
        assert list(record.shape) == [shape.Dim(i).Value().DimValue() for i in range(shape.DimLength())]


def compare_model(record: Model, data: bytes | memoryview) -> None:
    """Every record against what the generated accessors, which check nothing, find in the same bytes."""
    model = schema.Model.GetRootAs(bytearray(data), 0)
    generated, graph = model.Graph(), record.graph
    assert record.ir_version == model.IrVersion()
    assert record.model_version == model.ModelVersion()
    assert graph.name == text(generated.Name())
    entries = [model.MetadataProps(i) for i in range(model.MetadataPropsLength())]
    assert record.metadata_props == {text(e.Key()): text(e.Value()) for e in entries}
    assert len(graph.node) == generated.NodeLength()
    for index, node in enumerate(graph.node):
        other = generated.Node(index)
        assert (node.op_type, node.name) == (text(other.OpType()), text(other.Name()))
        assert node.input == [text(other.Input(i)) for i in range(other.InputLength())]
        assert node.output == [text(other.Output(i)) for i in range(other.OutputLength())]
        assert len(node.attribute) == other.AttributeLength()
        for i, attribute in enumerate(node.attribute):
            compare_attribute(attribute, other.Attribute(i))
    for name, get, compare in (
        ("initializer", "Initializer", compare_tensor),
        ("test_inputs_value", "TestInputsValue", compare_tensor),
        ("test_outputs_value", "TestOutputsValue", compare_tensor),
        ("input", "Input", compare_value),
        ("output", "Output", compare_value),
        ("value_info", "ValueInfo", compare_value),
    ):
        things = getattr(graph, name)
        assert len(things) == getattr(generated, f"{get}Length")()
        for i, thing in enumerate(things):
            compare(thing, getattr(generated, get)(i))


def test_sample_agrees_with_generated_accessors(record: Model, payload: bytes) -> None:
    read = read_model(payload)
    assert read == sort_attributes(record)
    compare_model(read, payload)


def sort_attributes(model: Model) -> Model:
    for node in model.graph.node:
        node.attribute.sort(key=lambda attribute: attribute.name)
    return model


def test_real_models_agree_with_generated_accessors(conformance: Path) -> None:
    files = sorted(conformance.glob("models/*/*.espdl"))
    assert files
    for path in files:
        container = read_container(path.read_bytes())
        data = container.payload(container.entries[0])
        started = time.process_time()
        record = read_model(data, source=path.name)
        assert time.process_time() - started < 0.5  # takes 20 ms
        compare_model(record, data)


def test_data_is_a_read_only_view_of_the_file(payload: bytes) -> None:
    whole = np.frombuffer(payload, np.uint8)
    for tensor in read_model(payload).graph.initializer:
        assert not tensor.data.flags.writeable or not tensor.data.size
        assert tensor.data.shape == tensor.dims
        assert not tensor.data.size or np.shares_memory(tensor.data, whole)


def test_unaligned_data_is_copied(payload: bytes) -> None:
    buffer = bytearray(len(payload) + 1)
    buffer[1:] = payload
    read = read_model(memoryview(buffer)[1:])
    assert read == read_model(payload)
    assert all(
        tensor.data.flags.aligned and not (tensor.data.size and tensor.data.flags.writeable) for tensor in read.graph.initializer
    )


@pytest.mark.parametrize(
    ("dtype", "field", "stored", "values"),
    [
        (DType.FLOAT, TensorField.FLOAT_DATA, "<f4", [1.5, -2.0]),
        (DType.DOUBLE, TensorField.DOUBLE_DATA, "<f8", [1.5, -2.0]),
        (DType.INT8, TensorField.INT32_DATA, "<i4", [-128, 127]),
        (DType.INT32, TensorField.INT32_DATA, "<i4", [-(2**31), 5]),
        (DType.BOOL, TensorField.INT32_DATA, "<i4", [0, 1]),
        (DType.INT64, TensorField.INT64_DATA, "<i8", [-(2**63), 5]),
        (DType.UINT32, TensorField.UINT64_DATA, "<u8", [2**32 - 1, 0]),
    ],
)
def test_typed_data_fields(dtype: DType, field: int, stored: str, values: list) -> None:
    builder = flatbuffers.Builder(64)
    data = builder.CreateNumpyVector(np.array(values, stored))
    dims = builder.CreateNumpyVector(np.array([2], np.int64))
    schema.TensorStart(builder)
    schema.TensorAddDims(builder, dims)
    schema.TensorAddDataType(builder, int(dtype))
    builder.PrependUOffsetTRelativeSlot(field, data, 0)
    tensor = read_model(model_with(builder, initializer=[schema.TensorEnd(builder)])).graph.initializer[0]
    assert tensor.data.dtype == dtype.numpy
    assert tensor.data.tolist() == values


def test_binary16_in_int32_data_is_its_bit_pattern() -> None:
    builder = flatbuffers.Builder(64)
    data = builder.CreateNumpyVector(np.array([1.5, -2.0], np.float16).view(np.uint16).astype(np.int32))
    dims = builder.CreateNumpyVector(np.array([2], np.int64))
    schema.TensorStart(builder)
    schema.TensorAddDims(builder, dims)
    schema.TensorAddDataType(builder, int(DType.FLOAT16))
    schema.TensorAddInt32Data(builder, data)
    tensor = read_model(model_with(builder, initializer=[schema.TensorEnd(builder)])).graph.initializer[0]
    assert tensor.data.tolist() == [1.5, -2.0]


def model_with(builder: flatbuffers.Builder, node: list[int] | None = None, initializer: list[int] | None = None) -> bytes:
    """A model of tables made by hand."""

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    nodes, initializers = vector(node or []), vector(initializer or [])
    schema.GraphStart(builder)
    schema.GraphAddNode(builder, nodes)
    schema.GraphAddInitializer(builder, initializers)
    graph = schema.GraphEnd(builder)
    schema.ModelStart(builder)
    schema.ModelAddGraph(builder, graph)
    builder.Finish(schema.ModelEnd(builder))
    return bytes(builder.Output())


def test_shared_tables_cannot_make_the_reader_work_for_ever() -> None:
    builder = flatbuffers.Builder(1 << 16)
    count = 3000
    ints = builder.CreateNumpyVector(np.arange(count))
    op_type = builder.CreateString("Conv")
    schema.AttributeStart(builder)
    schema.AttributeAddAttrType(builder, schema.AttributeType.INTS)
    schema.AttributeAddInts(builder, ints)
    attribute = schema.AttributeEnd(builder)
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(attribute)
    attributes = builder.EndVector()
    schema.NodeStart(builder)
    schema.NodeAddOpType(builder, op_type)
    schema.NodeAddAttribute(builder, attributes)
    data = model_with(builder, node=[schema.NodeEnd(builder)] * count)
    started = time.process_time()
    with pytest.raises(EspdlError, match=r"graph\.node\[0\]\.attribute\[\d+\], byte \d+: tables or vectors overlap"):
        read_model(data)
    assert time.process_time() - started < 1


def test_tables_of_nothing_cannot_fill_the_memory() -> None:
    builder = flatbuffers.Builder(1 << 16)
    op_type = builder.CreateString("R")
    schema.NodeStart(builder)
    schema.NodeAddOpType(builder, op_type)
    data = model_with(builder, node=[schema.NodeEnd(builder)] * 20_000)
    tracemalloc.start()
    try:
        with pytest.raises(EspdlError, match="tables or vectors overlap"):
            read_model(data)
        assert tracemalloc.get_traced_memory()[1] < 50 * len(data)
    finally:
        tracemalloc.stop()


class Damage:
    """Finds fields of a model and overwrites them."""

    def __init__(self, payload: bytes) -> None:
        self.data = bytearray(payload)
        self.model = FlatBuffer(payload).root("model")
        graph = self.model.table(ModelField.GRAPH, "graph")
        assert graph is not None
        self.graph = graph
        self.nodes: list[Table] = graph.each(GraphField.NODE, "node", lambda table: table)
        self.tensors: list[Table] = graph.each(GraphField.INITIALIZER, "initializer", lambda table: table)
        self.values: list[Table] = graph.each(GraphField.VALUE_INFO, "value_info", lambda table: table)

    def put(self, position: int, form: str, *numbers: float) -> bytes:
        struct.pack_into("<" + form, self.data, position, *numbers)
        return bytes(self.data)


def test_dims_lie(payload: bytes) -> None:
    damage = Damage(payload)
    weight = damage.tensors[1]
    dims, _ = weight.vector(TensorField.DIMS, 8, "dims")
    for first, message in (
        (4, r"graph\.initializer\[1\], byte \d+: dims ask for 960 bytes, the tensor has 720"),
        (-3, r"graph\.initializer\[1\], byte \d+: a dimension is -3"),
        (2**31 - 1, r"graph\.initializer\[1\], byte \d+: a tensor of shape .* has too many elements"),
        (2**62, r"graph\.initializer\[1\], byte \d+: a dimension is 4611686018427387904"),
    ):
        with pytest.raises(EspdlError, match=message):
            read_model(damage.put(dims, "q", first))


def test_too_many_dimensions(payload: bytes) -> None:
    damage = Damage(payload)
    bias = damage.tensors[2]
    exponents, _ = bias.vector(TensorField.EXPONENTS, 8, "exponents")
    position = bias.field(TensorField.DIMS, 4)
    damage.put(exponents - 4, "I", 33)
    with pytest.raises(EspdlError, match="33 dimensions are more than 32"):
        read_model(damage.put(position, "I", exponents - 4 - position))


def test_unknown_element_type(payload: bytes) -> None:
    damage = Damage(payload)
    data = damage.put(damage.tensors[3].field(TensorField.DATA_TYPE, 4), "i", 99)
    with pytest.raises(EspdlError, match=r"sample\.espdl: graph\.initializer\[3\], byte \d+: there is no element type 99"):
        read_model(data, source="sample.espdl")


def test_tensor_of_strings(payload: bytes) -> None:
    damage = Damage(payload)
    with pytest.raises(EspdlError, match="STRING and holds no numbers"):
        read_model(damage.put(damage.tensors[3].field(TensorField.DATA_TYPE, 4), "i", 8))


def test_exponent_out_of_range(payload: bytes) -> None:
    damage = Damage(payload)
    position, _ = damage.tensors[0].vector(TensorField.EXPONENTS, 8, "exponents")
    with pytest.raises(EspdlError, match=r"graph\.initializer\[0\], byte \d+: exponent 1025 is out of range"):
        read_model(damage.put(position, "q", 1025))


def test_bool_that_is_neither(payload: bytes) -> None:
    damage = Damage(payload)
    position, _ = damage.tensors[7].vector(TensorField.RAW_DATA, 16, "raw_data")
    with pytest.raises(EspdlError, match="BOOL tensor holds values other than 0 and 1"):
        read_model(damage.put(position, "B", 2))


def test_vector_longer_than_the_file(payload: bytes) -> None:
    damage = Damage(payload)
    position, _ = damage.graph.vector(GraphField.NODE, 4, "node")
    for count in (2**32 - 1, len(payload) // 4):
        with pytest.raises(EspdlError, match=rf"graph, byte \d+: node has {count} elements and reaches beyond the end"):
            read_model(damage.put(position - 4, "I", count))


def test_text_that_is_not_utf8(payload: bytes) -> None:
    damage = Damage(payload)
    node = damage.nodes[0]
    name = node.field(NodeField.NAME, 4)
    start = name + struct.unpack_from("<I", payload, name)[0] + 4
    with pytest.raises(EspdlError, match=r"graph\.node\[0\], byte \d+: name is not UTF-8 text"):
        read_model(damage.put(start, "B", 0xFF))
    damage = Damage(payload)
    start, _ = node.each(NodeField.ATTRIBUTE, "attribute", lambda table: table)[0].vector(AttributeField.STRING, 1, "s")
    with pytest.raises(EspdlError, match=r"graph\.node\[0\]\.attribute\[0\], byte \d+: s is not UTF-8 text"):
        read_model(damage.put(start, "B", 0xC0))


def test_text_longer_than_the_file(payload: bytes) -> None:
    damage = Damage(payload)
    name = damage.nodes[2].field(NodeField.NAME, 4)
    start = name + struct.unpack_from("<I", payload, name)[0]
    with pytest.raises(EspdlError, match=r"graph\.node\[2\], byte \d+: name reaches beyond the end of the file"):
        read_model(damage.put(start, "I", 0xFFFFFFF0))


def test_offsets_outside(payload: bytes) -> None:
    damage = Damage(payload)
    with pytest.raises(EspdlError, match=r"model, byte \d+: offset of a table points outside the file"):
        read_model(damage.put(0, "I", 0xFFFFFFFC))
    damage = Damage(payload)
    with pytest.raises(EspdlError, match=r"graph, byte \d+: offset of a table points outside"):
        read_model(damage.put(damage.model.field(ModelField.GRAPH, 4), "I", len(payload)))
    damage = Damage(payload)
    with pytest.raises(EspdlError, match=r"graph, byte \d+: the table's description lies outside"):
        read_model(damage.put(damage.graph.position, "i", -len(payload)))
    damage = Damage(payload)
    with pytest.raises(EspdlError, match=r"graph, byte \d+: offset of node points outside"):
        read_model(damage.put(damage.graph.field(GraphField.NODE, 4), "I", len(payload)))


def test_field_outside_its_table(payload: bytes) -> None:
    damage = Damage(payload)
    vtable = damage.graph.position - struct.unpack_from("<i", payload, damage.graph.position)[0]
    with pytest.raises(EspdlError, match=r"graph, byte \d+: field 0 lies outside its table"):
        read_model(damage.put(vtable + 4, "H", 60000))


def test_unknown_attribute_type(payload: bytes) -> None:
    damage = Damage(payload)
    attribute = damage.nodes[0].each(NodeField.ATTRIBUTE, "attribute", lambda table: table)[1]
    with pytest.raises(EspdlError, match=r"graph\.node\[0\]\.attribute\[1\], byte \d+: attribute 'group' is of type 5"):
        read_model(damage.put(attribute.field(AttributeField.ATTR_TYPE, 4), "i", schema.AttributeType.GRAPH))
    with pytest.raises(EspdlError, match="attribute 'group' has no value"):
        read_model(damage.put(attribute.field(AttributeField.ATTR_TYPE, 4), "i", schema.AttributeType.FLOAT))


def test_model_without_graph() -> None:
    builder = flatbuffers.Builder(64)
    schema.ModelStart(builder)
    builder.Finish(schema.ModelEnd(builder))
    with pytest.raises(EspdlError, match="the model has no graph"):
        read_model(bytes(builder.Output()))


@pytest.mark.parametrize("size", [0, 1, 7])
def test_almost_nothing(size: int) -> None:
    with pytest.raises(EspdlError, match=f"{size} bytes hold no model"):
        read_model(bytes(size))


def test_zeros_are_no_model() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(EspdlError):
            read_model(bytes(1000))
