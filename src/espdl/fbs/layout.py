"""Field numbers of the tables of ``schema.fbs``, for the reader."""

from __future__ import annotations


class ModelField:
    IR_VERSION, OPSET_IMPORT, PRODUCER_NAME, PRODUCER_VERSION, DOMAIN = range(5)
    MODEL_VERSION, DOC_STRING, GRAPH, METADATA_PROPS, FUNCTIONS = range(5, 10)


class GraphField:
    NODE, NAME, INITIALIZER, DOC_STRING, INPUT, OUTPUT, VALUE_INFO, QUANTIZATION_ANNOTATION, TEST_INPUTS, TEST_OUTPUTS = range(10)


class NodeField:
    INPUT, OUTPUT, NAME, OP_TYPE, DOMAIN, ATTRIBUTE, DOC_STRING = range(7)


class AttributeField:
    NAME, REF_ATTR_NAME, DOC_STRING, ATTR_TYPE, FLOAT, INT, STRING, TENSOR, GRAPH, TYPE = range(10)
    FLOATS, INTS, STRINGS, TENSORS, GRAPHS, TYPES = range(10, 16)


class TensorField:
    DIMS, DATA_TYPE, FLOAT_DATA, INT32_DATA, STRING_DATA, INT64_DATA, NAME, DOC_STRING, RAW_DATA, EXTERNAL_DATA = range(10)
    DATA_LOCATION, DOUBLE_DATA, UINT64_DATA, EXPONENTS = range(10, 14)


class ValueInfoField:
    NAME, TYPE, DOC_STRING, EXPONENTS = range(4)


class TypeInfoField:
    VALUE_TYPE, VALUE, DENOTATION = range(3)


class TensorTypeField:
    ELEM_TYPE, SHAPE = range(2)


class DimensionField:
    VALUE, DENOTATION = range(2)


class DimensionValueField:
    DIM_TYPE, DIM_VALUE, DIM_PARAM = range(3)


class EntryField:
    """Of StringStringEntry and OperatorSetId: a text, and what belongs to it."""

    KEY, VALUE = range(2)
