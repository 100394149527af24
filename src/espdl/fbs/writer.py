"""From :mod:`records` to the bytes of a model (without container). The same records give the same bytes.

What is written and what is left out follows the files that ESP-DL 3.3.9 reads: vectors that its loader dereferences are there even
when empty, tensor data is in 16-byte blocks aligned to 16 bytes from the start, attributes are sorted by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from struct import error as StructError
from typing import TypeVar

import flatbuffers
import numpy as np
from flatbuffers.builder import BuilderSizeError

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs.generated import schema
from espdl.fbs.records import Attribute, AttributeValue, Graph, Model, Node, Tensor, ValueInfo
from espdl.wording import at_node

_BLOCK = 16
_Item = TypeVar("_Item")


def write_model(model: Model) -> bytes:
    """The FlatBuffer of a model, to be wrapped by :func:`espdl.fbs.wrap_model`.

    Raises:
        EspdlError: when a record holds what the format cannot (a number out of range, data that is not of the tensor's type or
            shape); names the node, attribute or tensor.
    """
    return _Writer(model).finish()


class _Writer:
    def __init__(self, model: Model) -> None:
        graph = model.graph
        tensors = (*graph.initializer, *graph.test_inputs_value, *graph.test_outputs_value)
        self.model = model
        self.builder = flatbuffers.Builder(1 << 16 | sum(t.data.nbytes + 256 for t in tensors))
        self.strings: dict[str, int] = {}
        self.values: dict[tuple[object, ...], int] = {}

    def finish(self) -> bytes:
        with _at("the model"):
            root = self.write_root(self.model)
            self.builder.Prep(_BLOCK, 0)  # the size is a multiple of 16 even without tensors
            self.builder.Finish(root)
        return bytes(self.builder.Output())

    def write_root(self, model: Model) -> int:
        builder = self.builder
        graph = self.graph(model.graph)
        opsets = self.each(model.opset_import, self.opset)
        metadata = self.each(model.metadata_props.items(), self.entry) if model.metadata_props else 0
        producer, version = self.optional(model.producer_name), self.optional(model.producer_version)
        domain, doc = self.optional(model.domain), self.optional(model.doc_string)
        schema.ModelStart(builder)
        schema.ModelAddIrVersion(builder, model.ir_version)
        schema.ModelAddModelVersion(builder, model.model_version)
        schema.ModelAddOpsetImport(builder, opsets)
        schema.ModelAddProducerName(builder, producer)
        schema.ModelAddProducerVersion(builder, version)
        schema.ModelAddDomain(builder, domain)
        schema.ModelAddDocString(builder, doc)
        schema.ModelAddGraph(builder, graph)
        schema.ModelAddMetadataProps(builder, metadata)
        return int(schema.ModelEnd(builder))

    def graph(self, graph: Graph) -> int:
        builder = self.builder
        tests_out = self.each(graph.test_outputs_value, self.tensor)
        tests_in = self.each(graph.test_inputs_value, self.tensor)
        initializers = self.each(graph.initializer, self.tensor)
        values = self.each(graph.value_info, self.value_info)
        outputs = self.each(graph.output, self.value_info)
        inputs = self.each(graph.input, self.value_info)
        nodes = self.each(graph.node, self.node)
        name, doc = self.string(graph.name), self.optional(graph.doc_string)
        schema.GraphStart(builder)
        schema.GraphAddNode(builder, nodes)
        schema.GraphAddName(builder, name)
        schema.GraphAddInitializer(builder, initializers)
        schema.GraphAddDocString(builder, doc)
        schema.GraphAddInput(builder, inputs)
        schema.GraphAddOutput(builder, outputs)
        schema.GraphAddValueInfo(builder, values)
        schema.GraphAddTestInputsValue(builder, tests_in)
        schema.GraphAddTestOutputsValue(builder, tests_out)
        return int(schema.GraphEnd(builder))

    def node(self, node: Node) -> int:
        builder = self.builder
        with _at(at_node(node.name, node.op_type)):
            attributes = self.each(sorted(node.attribute, key=lambda a: a.name), self.attribute)
            inputs, outputs = self.each(node.input, self.string), self.each(node.output, self.string)
            name, op_type = self.string(node.name), self.string(node.op_type)
            domain, doc = self.optional(node.domain), self.optional(node.doc_string)
            schema.NodeStart(builder)
            schema.NodeAddInput(builder, inputs)
            schema.NodeAddOutput(builder, outputs)
            schema.NodeAddName(builder, name)
            schema.NodeAddOpType(builder, op_type)
            schema.NodeAddDomain(builder, domain)
            schema.NodeAddAttribute(builder, attributes)
            schema.NodeAddDocString(builder, doc)
            return int(schema.NodeEnd(builder))

    def attribute(self, attribute: Attribute) -> int:
        builder = self.builder
        with _at(f"attribute {attribute.name!r}"):
            kind, write, value = self.attribute_value(attribute.value)
            name = self.string(attribute.name)
            schema.AttributeStart(builder)
            schema.AttributeAddName(builder, name)
            schema.AttributeAddAttrType(builder, kind)
            write(builder, value)
            return int(schema.AttributeEnd(builder))

    def attribute_value(self, value: AttributeValue) -> tuple[int, Callable[[flatbuffers.Builder, object], None], object]:
        """Type of an attribute, the function that adds its field to the table, and what that function takes."""
        kinds = schema.AttributeType
        if isinstance(value, Tensor):
            return kinds.TENSOR, schema.AttributeAddT, self.tensor(value)
        if isinstance(value, str):
            return kinds.STRING, schema.AttributeAddS, self.builder.CreateByteVector(value.encode())
        if isinstance(value, (int, np.integer)):
            return kinds.INT, lambda b, v: schema.AttributeAddI(b, schema.CreateAttributeI(b, v)), int(value)
        if isinstance(value, (float, np.floating)):
            return kinds.FLOAT, lambda b, v: schema.AttributeAddF(b, schema.CreateAttributeF(b, v)), float(value)
        if isinstance(value, (list, tuple)):
            texts = [item for item in value if isinstance(item, str)]
            numbers = [item for item in value if isinstance(item, (int, float, np.integer, np.floating))]
            if texts and len(texts) == len(value):
                return kinds.STRINGS, schema.AttributeAddStrings, self.each(texts, self.string)
            if len(numbers) == len(value):
                if all(isinstance(item, (int, np.integer)) for item in numbers):
                    return kinds.INTS, schema.AttributeAddInts, self.numbers(numbers, "<i8")
                return kinds.FLOATS, schema.AttributeAddFloats, self.numbers(numbers, "<f4")
        raise EspdlError(f"a value of type {type(value).__name__} cannot be an attribute")

    def tensor(self, tensor: Tensor) -> int:
        builder = self.builder
        with _at(f"tensor {tensor.name!r}"):
            data = self.tensor_data(tensor)
            dims, exponents = self.numbers(tensor.dims, "<i8"), self.numbers(tensor.exponents, "<i8")
            name, doc = self.string(tensor.name), self.optional(tensor.doc_string)
            schema.TensorStart(builder)
            schema.TensorAddDims(builder, dims)
            schema.TensorAddDataType(builder, int(tensor.data_type))
            schema.TensorAddName(builder, name)
            schema.TensorAddDocString(builder, doc)
            _EMPTY_FIELDS.get(tensor.data_type, schema.TensorAddInt32Data)(builder, 0 if tensor.data.size else data)
            schema.TensorAddRawData(builder, data if tensor.data.size else 0)
            schema.TensorAddExponents(builder, exponents)
            return int(schema.TensorEnd(builder))

    def tensor_data(self, tensor: Tensor) -> int:
        """A vector of 16-byte blocks; an empty vector of 8-byte elements when there is no data."""
        if tensor.data.dtype != tensor.data_type.numpy:
            raise EspdlError(f"the data is {tensor.data.dtype}, not {tensor.data_type.name}")
        if tensor.data.size != prod(tensor.dims):
            raise EspdlError(f"{tensor.data.size} elements do not fill shape {list(tensor.dims)}")
        if not tensor.data.size:
            return self.numbers((), "<i8")
        builder = self.builder
        content = tensor.data.tobytes()
        content += bytes(-len(content) % _BLOCK)
        schema.TensorStartRawDataVector(builder, len(content) // _BLOCK)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        return int(builder.EndVector())

    def value_info(self, value: ValueInfo) -> int:
        """A variable. Graph inputs and outputs that are also in value_info are written once."""
        key = (value.name, value.data_type, value.shape, value.exponents, value.doc_string)
        if key not in self.values:
            with _at(f"value {value.name!r}"):
                self.values[key] = self.new_value_info(value)
        return self.values[key]

    def new_value_info(self, value: ValueInfo) -> int:
        builder = self.builder
        shape = 0
        if value.shape is not None:
            dims = self.each(value.shape, self.dimension)
            schema.TensorShapeStart(builder)
            schema.TensorShapeAddDim(builder, dims)
            shape = schema.TensorShapeEnd(builder)
        schema.TensorTypeAndShapeStart(builder)
        schema.TensorTypeAndShapeAddElemType(builder, int(value.data_type))
        schema.TensorTypeAndShapeAddShape(builder, shape)
        tensor_type = schema.TensorTypeAndShapeEnd(builder)
        schema.TypeInfoStart(builder)
        schema.TypeInfoAddValueType(builder, schema.TypeInfoValue.tensor_type)
        schema.TypeInfoAddValue(builder, tensor_type)
        type_info = schema.TypeInfoEnd(builder)
        exponents = self.numbers(value.exponents, "<i8")
        name, doc = self.string(value.name), self.optional(value.doc_string)
        schema.ValueInfoStart(builder)
        schema.ValueInfoAddName(builder, name)
        schema.ValueInfoAddValueInfoType(builder, type_info)
        schema.ValueInfoAddDocString(builder, doc)
        schema.ValueInfoAddExponents(builder, exponents)
        return int(schema.ValueInfoEnd(builder))

    def dimension(self, size: int) -> int:
        builder = self.builder
        schema.DimensionValueStart(builder)
        schema.DimensionValueAddDimValue(builder, int(size))
        schema.DimensionValueAddDimType(builder, schema.DimensionValueType.VALUE)
        value = schema.DimensionValueEnd(builder)
        schema.DimensionStart(builder)
        schema.DimensionAddValue(builder, value)
        return int(schema.DimensionEnd(builder))

    def entry(self, pair: tuple[str, str]) -> int:
        key, value = self.string(pair[0]), self.string(pair[1])
        schema.StringStringEntryStart(self.builder)
        schema.StringStringEntryAddKey(self.builder, key)
        schema.StringStringEntryAddValue(self.builder, value)
        return int(schema.StringStringEntryEnd(self.builder))

    def opset(self, pair: tuple[str, int]) -> int:
        domain = self.string(pair[0])
        schema.OperatorSetIdStart(self.builder)
        schema.OperatorSetIdAddDomain(self.builder, domain)
        schema.OperatorSetIdAddVersion(self.builder, pair[1])
        return int(schema.OperatorSetIdEnd(self.builder))

    def string(self, text: str) -> int:
        """A string; equal ones are written once."""
        if text not in self.strings:
            self.strings[text] = self.builder.CreateString(text)
        return self.strings[text]

    def optional(self, text: str) -> int:
        """A string that is left out when empty."""
        return self.string(text) if text else 0

    def numbers(self, values: Sequence[int | float], dtype: str) -> int:
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=dtype)
        if array.dtype.kind == "f" and np.any(np.isinf(array) & np.isfinite(np.array(values, dtype=np.float64))):
            raise EspdlError("a number is out of the range of binary32")
        return int(self.builder.CreateNumpyVector(array))

    def each(self, items: Iterable[_Item], write: Callable[[_Item], int]) -> int:
        """A vector of the tables or strings that ``write`` makes of the items."""
        offsets = [write(item) for item in items]
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())


_EMPTY_FIELDS = {
    DType.FLOAT: schema.TensorAddFloatData,
    DType.DOUBLE: schema.TensorAddDoubleData,
    DType.INT64: schema.TensorAddInt64Data,
    DType.UINT32: schema.TensorAddUint64Data,
    DType.UINT64: schema.TensorAddUint64Data,
}


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Tells where something went wrong."""
    try:
        yield
    except EspdlError as error:
        raise error.at(place) from None
    except (StructError, TypeError, ValueError, OverflowError, AttributeError, BuilderSizeError) as error:
        raise EspdlError("cannot be written", where=place, why=str(error)) from error
