"""The writer: reading back gives the same records, and the bytes are laid out as the chip's loader needs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import espdl.fbs
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import read_container, read_model, write_model
from espdl.fbs.generated import schema
from espdl.fbs.records import Attribute, Graph, Model, Node, Tensor, ValueInfo

SCHEMA = Path(espdl.fbs.__file__).with_name("schema.fbs")
FLATC = shutil.which("flatc")
needs_flatc = pytest.mark.skipif(FLATC is None, reason="flatc is not installed")

NUMBERS = [dtype for dtype in DType if dtype not in (DType.UNDEFINED, DType.STRING)]
int64 = st.integers(-(2**63), 2**63 - 1)
binary32 = st.floats(width=32, allow_nan=False)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
exponents = st.lists(st.integers(-60, 60), max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype = draw(st.sampled_from(NUMBERS))
    data = draw(hnp.arrays(dtype.numpy, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
    return Tensor(draw(texts), data.shape, dtype, data, draw(exponents), draw(texts))


attribute_values = st.one_of(
    int64,
    binary32,
    texts,
    st.lists(int64, max_size=4),
    st.lists(binary32, min_size=1, max_size=4),
    st.lists(texts, min_size=1, max_size=4),
    tensors(),
)
attributes = st.lists(st.builds(Attribute, texts, attribute_values), max_size=4).map(
    lambda items: sorted(items, key=lambda a: a.name)
)
nodes = st.builds(
    Node, texts.filter(bool), texts, st.lists(texts, max_size=3), st.lists(texts, max_size=3), attributes, texts, texts
)
shapes = st.none() | st.lists(st.integers(0, 9), max_size=4).map(tuple)
values = st.lists(st.builds(ValueInfo, texts, st.sampled_from(list(DType)), shapes, exponents, texts), max_size=3)
constants = st.lists(tensors(), max_size=3)
graphs = st.builds(Graph, texts, st.lists(nodes, max_size=3), constants, values, values, values, constants, constants, texts)
models = st.builds(
    Model,
    graphs,
    st.integers(-(2**31), 2**31 - 1),
    texts,
    texts,
    texts,
    int64,
    texts,
    st.lists(st.tuples(texts, int64), max_size=2).map(tuple),
    st.dictionaries(texts, texts, max_size=3),
)


@given(models)
def test_any_record_survives(model: Model) -> None:
    data = write_model(model)
    read = read_model(data)
    assert read == model
    assert write_model(read) == data


def test_real_models_survive(conformance: Path) -> None:
    files = sorted(conformance.glob("models/*/*.espdl"))
    assert files
    for path in files:
        container = read_container(path.read_bytes())
        record = read_model(container.payload(container.entries[0]))
        data = write_model(record)
        assert read_model(data) == record, path.name
        assert len(data) <= container.entries[0].length, path.name


@pytest.mark.slow
def test_operator_files_survive(conformance: Path) -> None:
    files = sorted(conformance.glob("ops/*/*/*.espdl"))
    assert files
    for path in files:
        record = read_model(memoryview(path.read_bytes())[16:])
        assert read_model(write_model(record)) == record, path.name


def test_same_records_same_bytes(record: Model, payload: bytes) -> None:
    assert write_model(record) == payload
    for node in record.graph.node:
        node.attribute.reverse()
    assert write_model(record) == payload


def test_layout_that_the_chip_needs(payload: bytes) -> None:
    assert len(payload) % 16 == 0
    model = schema.Model.GetRootAs(bytearray(payload), 0)
    graph = model.Graph()
    assert not model.OpsetImportIsNone()
    for index in range(graph.InitializerLength()):
        tensor = graph.Initializer(index)
        elements = int(np.prod([tensor.Dims(i) for i in range(tensor.DimsLength())]))
        assert not tensor.ExponentsIsNone()
        if not elements:
            assert tensor.RawDataIsNone()
            assert not tensor.FloatDataIsNone()
            continue
        size = elements * DType(tensor.DataType()).itemsize
        start = tensor.RawData(0)._tab.Pos
        assert start % 16 == 0
        assert tensor.RawDataLength() == -(-size // 16)
        assert not any(payload[start + size : start + 16 * tensor.RawDataLength()])
    for index in range(graph.NodeLength()):
        node = graph.Node(index)
        names = [node.Attribute(i).Name() for i in range(node.AttributeLength())]
        assert names == sorted(names)


def test_vectors_are_there_even_when_empty() -> None:
    data = write_model(Model(Graph("", [], [], [], [], [])))
    model = schema.Model.GetRootAs(bytearray(data), 0)
    graph = model.Graph()
    assert not model.OpsetImportIsNone()
    assert not graph.TestInputsValueIsNone()
    assert not graph.TestOutputsValueIsNone()
    assert not graph.InitializerIsNone()
    assert model.MetadataPropsIsNone()


def test_inputs_and_outputs_share_their_value_info(record: Model) -> None:
    model = schema.Model.GetRootAs(bytearray(write_model(record)), 0)
    graph = model.Graph()
    assert graph.Input(0)._tab.Pos == graph.ValueInfo(0)._tab.Pos
    assert graph.Output(0)._tab.Pos == graph.ValueInfo(4)._tab.Pos


def test_lists_of_floats_are_binary32(payload: bytes) -> None:
    node = schema.Model.GetRootAs(bytearray(payload), 0).Graph().Node(2)
    by_name = {node.Attribute(i).Name(): node.Attribute(i) for i in range(node.AttributeLength())}
    assert by_name[b"ratios"].FloatsAsNumpy().tolist() == [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**63, "node '/conv' .*attribute 'bad'"),
        ([1, 2**63], "node '/conv' .*attribute 'bad'"),
        (1e300, "node '/conv' .*attribute 'bad'"),
        ([0.5, 1e300], "out of the range of binary32"),
        ([1, "a"], "a value of type list cannot be an attribute"),
        (None, "a value of type NoneType cannot be an attribute"),
        ("\ud800", "node '/conv' .*attribute 'bad'"),
    ],
)
def test_attribute_that_cannot_be_written(record: Model, value, message: str) -> None:
    record.graph.node[0].attribute.append(Attribute("bad", value))
    with pytest.raises(EspdlError, match=message):
        write_model(record)


def test_tensor_that_cannot_be_written(record: Model) -> None:
    tensor = record.graph.initializer[2]
    tensor.dims = (21,)
    with pytest.raises(EspdlError, match=r"tensor 'b': 20 elements do not fill shape \[21\]"):
        write_model(record)
    tensor.dims, tensor.data_type = (20,), DType.INT16
    with pytest.raises(EspdlError, match="tensor 'b': the data is int32, not INT16"):
        write_model(record)


def as_json(data: bytes, directory: Path) -> dict:
    assert FLATC is not None
    (directory / "model.bin").write_bytes(data)
    command = [FLATC, "--json", "--strict-json", "--raw-binary", str(SCHEMA), "--", "model.bin"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return json.loads((directory / "model.json").read_text())


@needs_flatc
def test_flatc_reads_what_we_write(record: Model, payload: bytes, tmp_path: Path) -> None:
    content = as_json(payload, tmp_path)
    assert content["metadata_props"] == [{"key": "target", "value": "esp32p4"}]
    assert [node["op_type"] for node in content["graph"]["node"]] == [node.op_type for node in record.graph.node]
    raw = content["graph"]["initializer"][1]["raw_data"]
    assert bytes(byte for block in raw for byte in block["bytes"])[:720] == record.graph.initializer[1].data.tobytes()


@needs_flatc
@pytest.mark.parametrize("name", ["esp32s3/sin_model", "esp32p4/tcn_streaming_model", "c/linear_ishap_1_31_kshap_32_31_relu_s8"])
def test_real_model_is_written_field_by_field_alike(conformance: Path, name: str, tmp_path: Path) -> None:
    original = (conformance / "models" / f"{name}.espdl").read_bytes()[16:]
    assert as_json(write_model(read_model(original)), tmp_path) == as_json(original, tmp_path)


@needs_flatc
def test_generated_code_is_that_of_the_schema(tmp_path: Path) -> None:
    assert FLATC is not None
    if "2.0.8" not in subprocess.run([FLATC, "--version"], check=True, capture_output=True, text=True).stdout:
        pytest.skip("made by flatc 2.0.8, another version writes it differently")
    subprocess.run([FLATC, "--python", "--gen-onefile", "-o", str(tmp_path), str(SCHEMA)], check=True)
    made = (tmp_path / "schema_generated.py").read_text()
    assert (SCHEMA.parent / "generated" / "schema_generated.py").read_text().split("\n", 3)[3].rstrip() == made.rstrip()
