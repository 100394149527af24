"""``FbsModel``: every question of the guide, asked of the sample."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.dtypes import Activation, DType, ModelLocation, QuantType
from espdl.errors import EspdlError
from espdl.fbs import FbsModel, write_model
from espdl.fbs.records import Model, ValueInfo
from espdl.tensor import TensorBase


@pytest.fixture
def model(payload: bytes) -> FbsModel:
    return FbsModel(payload)


def test_nodes(model: FbsModel) -> None:
    assert model.topological_sort() == ["/conv", "/sigmoid", "/resize", "/reshape"]
    assert model.get_operation_type("/conv") == "Conv"
    assert model.get_operation_type("/nothing") == ""
    assert model.get_operation_inputs_and_outputs("/resize") == (["s", "", "scales"], ["r"])
    assert model.get_node("/conv").input == ["x", "w", "b"]
    with pytest.raises(EspdlError, match="the model has no node '/nothing'"):
        model.get_node("/nothing")
    with pytest.raises(EspdlError, match="the model has no node '/nothing'"):
        model.get_operation_inputs_and_outputs("/nothing")


def test_attributes(model: FbsModel) -> None:
    assert model.get_operation_attribute("/conv", "group") == 1
    assert model.get_operation_attribute("/conv", "pads", as_type=list) == [1, 1, 1, 1]
    assert model.get_operation_attribute("/conv", "activation") == "Relu"
    assert model.get_operation_attribute("/conv", "activation", as_type=Activation) is Activation.RELU
    assert model.get_operation_attribute("/conv", "quant_type", as_type=QuantType) is QuantType.SYMM_8BIT
    assert model.get_operation_attribute("/resize", "cubic_coeff_a", as_type=float) == -0.75
    assert model.get_operation_attribute("/resize", "ratios") == [1.5, 2.5, 3.5]
    assert model.get_operation_attribute("/resize", "names") == ["ä", ""]
    value = model.get_operation_attribute("/resize", "value", as_type=TensorBase)
    assert value.data.tolist() == [[0, 1], [2, 3]]
    assert model.get_operation_attribute("/conv", "auto_pad", None) is None
    assert model.get_operation_attribute("/conv", "auto_pad", default="NOTSET") == "NOTSET"
    with pytest.raises(EspdlError, match=r"node '/conv' \(Conv\): there is no attribute 'auto_pad'"):
        model.get_operation_attribute("/conv", "auto_pad")
    with pytest.raises(EspdlError, match=r"node '/conv' \(Conv\): attribute 'group' is int, not float"):
        model.get_operation_attribute("/conv", "group", as_type=float)
    with pytest.raises(EspdlError, match="attribute 'group' is int, not QuantType"):
        model.get_operation_attribute("/conv", "group", as_type=QuantType)
    with pytest.raises(EspdlError, match="unknown quant_type 'Relu'"):
        model.get_operation_attribute("/conv", "activation", as_type=QuantType)


def test_shapes(model: FbsModel) -> None:
    assert model.get_operation_input_shape("/conv", 0) == [1, 8, 8, 4]
    assert model.get_operation_input_shape("/conv", 1) == [3, 3, 4, 20]
    assert model.get_operation_output_shape("/conv", 0) == [1, 8, 8, 20]
    with pytest.raises(EspdlError, match="node '/conv': there is no input 3, only 3"):
        model.get_operation_input_shape("/conv", 3)
    with pytest.raises(EspdlError, match="value '': the file does not say its shape"):
        model.get_operation_input_shape("/resize", 1)


def test_parameters(model: FbsModel, record: Model) -> None:
    weight = model.get_operation_parameter("/conv")
    assert weight is not None
    assert weight.data.tobytes() == record.graph.initializer[1].data.tobytes()
    assert weight.shape == [3, 3, 4, 20]
    assert weight.exponent.is_per_channel()
    assert weight.exponent.channel_size() == 20
    assert weight.doc_string == "layout ==> (N/16)HWC16_UNALIGNED"
    assert weight.dtype is DType.INT8
    bias = model.get_operation_parameter("/conv", 2)
    assert bias is not None
    assert bias.dtype is DType.INT32
    assert model.get_operation_parameter("/conv", 0) is None
    assert model.get_operation_parameter("/resize", 1) is None
    assert model.get_operation_parameter("/conv", 3) is None
    assert model.get_parameter("unused_scalar").shape == []
    assert model.get_parameter("unused_scalar").data == 7
    assert model.get_parameter("unused_empty").shape == [0, 3]
    assert model.get_parameter("unused_bool").data.tolist() == [True, False, True]
    assert model.is_parameter("w")
    assert not model.is_parameter("x")
    assert not model.is_parameter("")
    with pytest.raises(EspdlError, match="the model has no constant 'x'"):
        model.get_parameter("x")


def test_copy_or_view(payload: bytes) -> None:
    whole = np.frombuffer(payload, np.uint8)
    view = FbsModel(payload, param_copy=False).get_parameter("b")
    assert np.shares_memory(view.data, whole)
    assert not view.auto_free
    with pytest.raises(ValueError, match="read-only"):
        view.data[0] = 1
    copy = FbsModel(payload, param_copy=True).get_parameter("b")
    assert copy.auto_free
    copy.data[0] += 1
    assert copy.data[0] != view.data[0]


def test_tables(model: FbsModel, record: Model) -> None:
    table = model.get_operation_lut("/sigmoid")
    assert table is not None
    assert table.data.tobytes() == record.graph.initializer[0].data.tobytes()
    assert int(table.exponent) == -7
    assert model.get_operation_lut("/conv") is None
    assert model.get_operation_lut("/resize", attribute_name="names") is None


def test_constants_by_name(model: FbsModel, record: Model) -> None:
    assert bytes(model.get_tensor_raw_data("b")) == record.graph.initializer[2].data.tobytes()
    assert len(model.get_tensor_raw_data("unused_bool")) == 3
    assert len(model.get_tensor_raw_data("unused_empty")) == 0
    assert model.get_tensor_dtype("shape") is DType.INT64
    assert model.get_tensor_shape("w") == [3, 3, 4, 20]
    assert len(model.get_tensor_exponents("w")) == 20
    assert model.get_tensor_exponents("Sigmoid_lut_0") == [-7]


def test_variables(model: FbsModel) -> None:
    assert model.get_value_info_dtype("c") is DType.INT8
    assert model.get_value_info_shape("c") == [1, 8, 8, 20]
    assert model.get_value_info_exponent("c") == -4
    assert model.get_value_info_shape("x") == [1, 8, 8, 4]
    with pytest.raises(EspdlError, match="the model has no value_info 'w'"):
        model.get_value_info("w")


def test_exponents_of_variables(record: Model) -> None:
    values = record.graph.value_info
    values[2].exponents = (-1, -2, -3, -4, -5, -6, -7, -8)
    values[3].exponents = ()
    values.append(ValueInfo("f", DType.FLOAT, (1,), ()))
    model = FbsModel(write_model(record))
    with pytest.warns(UserWarning, match="value 's' has 8 exponents, the first is used"):
        assert model.get_value_info_exponent("s") == -1
    with pytest.raises(EspdlError, match="value 'r': the file does not say its exponent"):
        model.get_value_info_exponent("r")
    assert model.get_value_info_exponent("f") == 0


def test_inputs_exclude_constants(record: Model) -> None:
    record.graph.input.append(ValueInfo("b", DType.INT32, (20,), record.graph.initializer[2].exponents))
    model = FbsModel(write_model(record))
    assert model.get_graph_inputs() == ["x"]
    assert model.get_graph_outputs() == ["y"]


def test_test_values(model: FbsModel, record: Model) -> None:
    assert model.get_test_outputs_name() == ["y"]
    tensor = model.get_test_input_tensor("x")
    assert tensor is not None
    assert tensor.auto_free
    assert tensor.data.tobytes() == record.graph.test_inputs_value[0].data.tobytes()
    assert int(tensor.exponent) == -6
    expected = model.get_test_output_tensor("y")
    assert expected is not None
    assert expected.shape == [1, 5120]
    raw = model.get_test_output_tensor_raw_data("y")
    assert raw is not None
    assert bytes(raw) == expected.data.tobytes()
    assert model.get_test_input_tensor_raw_data("x") is not None
    for ask in (
        model.get_test_input_tensor,
        model.get_test_output_tensor,
        model.get_test_input_tensor_raw_data,
        model.get_test_output_tensor_raw_data,
    ):
        assert ask("nothing") is None


def test_facts(model: FbsModel) -> None:
    assert model.get_model_name() == "main_graph"
    assert model.get_model_version() == 3
    assert model.get_model_doc_string() == "a sample"
    assert model.get_model_metadata_prop("target") == "esp32p4"
    assert model.get_model_metadata_prop("nothing") == ""


@pytest.mark.parametrize(
    ("location", "encrypt", "moved", "expected"),
    [
        (ModelLocation.FLASH_RODATA, False, False, (0, 0, 0, 1)),
        (ModelLocation.FLASH_RODATA, True, False, (0, 1, 0, 1)),
        (ModelLocation.FLASH_RODATA, False, True, (0, 0, 1, 1)),
        (ModelLocation.FLASH_PARTITION, False, False, (0, 0, 0, 1)),
        (ModelLocation.SDCARD, False, False, (0, 1, 0, 0)),
        (ModelLocation.SDCARD, True, False, (0, 1, 0, 0)),
    ],
)
def test_size(payload: bytes, location: ModelLocation, encrypt: bool, moved: bool, expected: tuple[int, ...]) -> None:
    model = FbsModel(payload, location=location, encrypt=encrypt, rodata_move=moved)
    assert tuple(model.get_model_size()) == tuple(len(payload) * times for times in expected)


def test_size_of_the_data(payload: bytes) -> None:
    assert FbsModel(payload + b"more", len(payload)).size == len(payload)
    with pytest.raises(EspdlError, match=f"there are {len(payload)} bytes, not {len(payload) + 1}"):
        FbsModel(payload, len(payload) + 1)
    with pytest.raises(EspdlError, match="not -1"):
        FbsModel(payload, -1)


def test_maps(model: FbsModel) -> None:
    model.clear_map()
    assert model.topological_sort() == ["/conv", "/sigmoid", "/resize", "/reshape"]
    assert not model.is_parameter("w")
    with pytest.raises(EspdlError, match=r"call load_map\(\) first"):
        model.get_value_info("c")
    model.load_map()
    assert model.get_value_info("c").shape == (1, 8, 8, 20)


def test_print(model: FbsModel, capsys: pytest.CaptureFixture[str]) -> None:
    model.print()
    printed = capsys.readouterr().out
    assert "  %c = Conv[activation = 'Relu', group = 1, pads = [1, 1, 1, 1], quant_type = 'S8'](%x, %w, %b)\n" in printed
    assert "array" not in printed
