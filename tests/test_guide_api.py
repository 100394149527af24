"""The user guide's classes: every name is there, and means what the guide says. Sections are those of the guide."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import espdl
from espdl import dl, fbs
from espdl.dl import Model, TensorBase
from espdl.dl.context import CONTEXT_PARAMETER_OFFSET
from espdl.errors import EspdlError
from espdl.rounding import Rounding
from tests.models import INPUT_SHAPE, small_file, small_records

METHODS: dict[type, str] = {
    dl.ExponentInfo: "get is_per_channel channel_size data __int__ __eq__ __ne__",
    TensorBase: (
        "assign get_size get_aligned_size get_dtype_bytes get_dtype_string get_bytes get_aligned_bytes get_element_ptr "
        "set_element_ptr get_shape set_shape get_exponent get_dtype get_caps reshape flip transpose ttranspose is_same_shape equal "
        "slice slice_into pad compare_elements get_element_index get_element_coordinates get_element memset rand set_preload_addr "
        "preload reset_bias_layout push print"
    ),
    dl.Module: "get_outputs_index get_output_shape forward forward_args print set_preload_addr preload reset run deserialize",
    dl.ModuleCreator: "register_module create register_dl_modules print clear get_instance",
    Model: (
        "load build run minimize test get_memory_info get_module_info print_module_info profile_memory profile_module profile "
        "get_inputs get_input get_intermediate get_outputs get_output get_metadata_prop print reset get_fbs_model"
    ),
    dl.ModelContext: (
        "add_tensor push_back_tensor update_tensor get_tensor get_tensor_index get_variable_index get_variable_count "
        "get_parameter_count root_alloc get_psram_root get_internal_root get_parameter_memory_size get_variable_memory_size root_free "
        "root_reset minimize clear"
    ),
    dl.MemoryManagerBase: "alloc",
    dl.MemoryManagerGreedy: "alloc free",
    dl.TensorInfo: (
        "set_inplace_leader_tensor set_inplace_follower_dirty_tensor set_inplace_follower_clean_tensor get_inplace_follower_tensor "
        "update_time create_tensor is_inplaced get_offset set_offset get_internal_offset get_internal_state set_internal_state "
        "set_internal_offset get_time_end get_time_begin get_size get_name get_shape print"
    ),
    dl.MemoryChunk: "merge_free_chunk insert extend free",
    fbs.FbsLoader: "load get_model_num list_models get_model_location_string",
    fbs.FbsModel: (
        "print topological_sort get_operation_attribute get_operation_input_shape get_operation_output_shape "
        "get_operation_inputs_and_outputs get_operation_type get_operation_parameter get_operation_lut is_parameter "
        "get_tensor_raw_data get_tensor_dtype get_tensor_shape get_tensor_exponents get_value_info_dtype get_value_info_shape "
        "get_value_info_exponent get_test_input_tensor_raw_data get_test_output_tensor_raw_data get_test_input_tensor "
        "get_test_output_tensor get_test_outputs_name get_graph_inputs get_graph_outputs clear_map load_map get_model_name "
        "get_model_version get_model_doc_string get_model_metadata_prop get_model_size"
    ),
}

MEMBERS = [
    (TensorBase([2], None), "size shape dtype exponent auto_free axis_offset data cache caps"),
    (dl.Module("m"), "name inplace quant_type m_inputs_index m_outputs_index"),
    (dl.ModelContext(), "m_variables m_parameters"),
    (dl.MemoryManagerGreedy(0), "alignment"),
    (dl.MemoryChunk(16, True), "size is_free offset alignment tensor"),
]

CONSTANTS = {
    dl: "DATA_TYPE_FLOAT DATA_TYPE_INT8 DATA_TYPE_INT16 QUANT_TYPE_NONE QUANT_TYPE_SYMM_8BIT RUNTIME_MODE_AUTO "
    "RUNTIME_MODE_SINGLE_CORE RUNTIME_MODE_MULTI_CORE MODULE_NON_INPLACE PADDING_CONSTANT MEMORY_MANAGER_GREEDY "
    "CONTEXT_PARAMETER_OFFSET DL_SCALE DL_RESCALE quantize dequantize",
    fbs: "MODEL_LOCATION_IN_FLASH_RODATA MODEL_LOCATION_IN_FLASH_PARTITION MODEL_LOCATION_IN_SDCARD",
}


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(5).integers(-128, 128, INPUT_SHAPE, dtype=np.int8)


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls, names in METHODS.items() for name in names.split()])
def test_method(cls: type, name: str) -> None:
    assert callable(getattr(cls, name))
    assert name.startswith("__") or inspect.getdoc(getattr(cls, name))


@pytest.mark.parametrize(("instance", "names"), MEMBERS, ids=lambda value: type(value).__name__)
def test_public_members(instance: object, names: str) -> None:
    for name in names.split():
        assert hasattr(instance, name)


def test_constants_and_functions() -> None:
    for module, names in CONSTANTS.items():
        for name in names.split():
            assert hasattr(module, name), name


def test_the_package_gives_the_classes_that_programs_start_from() -> None:
    for name in ("Model", "TensorBase", "ExponentInfo", "Module", "ModuleCreator", "FbsLoader", "FbsModel"):
        assert getattr(espdl, name) is getattr(dl, name, getattr(fbs, name, None))


# 3.2: loading


def test_the_constructors_take_positional_arguments_in_the_guides_order(tmp_path: Path, x: np.ndarray) -> None:
    data, path = small_file("c", metadata=True), tmp_path / "net.espdl"
    path.write_bytes(data)
    package = fbs.pack([("net.espdl", data), ("other.espdl", small_file("c", test_values=False))])
    rodata, sdcard = fbs.MODEL_LOCATION_IN_FLASH_RODATA, fbs.MODEL_LOCATION_IN_SDCARD
    greedy = dl.MEMORY_MANAGER_GREEDY
    expected = Model(data).run_arrays({"x": x})["y"]
    for model in (
        Model(data, rodata, 1024, greedy, None, False),
        Model(package, 0, rodata, 1024, greedy, None, False),
        Model(package, "net.espdl", rodata, 1024, greedy, None, False),
        Model(path, sdcard, 1024),
        Model("m", fbs.MODEL_LOCATION_IN_FLASH_PARTITION, 1024, greedy, None, False, partitions={"m": data}),
        Model(fbs.FbsLoader(data).load(), 1024, greedy),
        Model(data, rodata, max_internal_size=1024),
    ):
        assert model.memory.max_internal_size == 1024
        assert model.get_metadata_prop("target") == "c"
        np.testing.assert_array_equal(model.run_arrays({"x": x})["y"], expected)
    assert not Model(data, rodata, 0, greedy, None, False).fbs_model.m_param_copy
    assert Model(data, rodata).fbs_model.m_param_copy
    for wrong in (lambda: Model(data, rodata, 0, greedy, None, False, None, 7), lambda: Model(data, rodata, location=rodata)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError, match="unexpected argument 'max_size'"):
        Model(data, max_size=3)


def test_load_and_build_are_steps_of_their_own(x: np.ndarray) -> None:
    package = fbs.pack([("a.espdl", small_file("c")), ("b.espdl", small_file("c", metadata=True))])
    rodata = fbs.MODEL_LOCATION_IN_FLASH_RODATA
    model = Model()
    with pytest.raises(EspdlError, match="call build"):
        model.run()
    for index in (1, "b.espdl"):
        model.load(package, rodata, index, None, False)
        assert model.get_metadata_prop("target") == "c"
        assert not model.fbs_model.m_param_copy
    with pytest.raises(EspdlError, match="call build"):
        model.run(x)
    with pytest.raises(EspdlError, match="'/conv'"):
        model.build(input_shapes={"x": [1, 6, 6, 4]})
    with pytest.raises(EspdlError, match="call build"):
        model.run(x)
    model.build(0, dl.MEMORY_MANAGER_GREEDY)
    model.run(x)
    model.load(package, rodata, None, False)
    assert model.get_metadata_prop("target") == ""
    model.load(fbs.FbsLoader(package).load(1))
    assert model.get_metadata_prop("target") == "c"


def test_a_loader_takes_the_key_first_or_after_the_model() -> None:
    key = bytes(range(16))
    plain = fbs.wrap_model(fbs.write_model(small_records("c")))
    secret = fbs.wrap_model(fbs.write_model(small_records("c")), key)
    loader = fbs.FbsLoader(secret)
    assert loader.load(key).record == loader.load(0, key).record == loader.load(list(key)).record
    assert not fbs.FbsLoader(plain).load(None, False).m_param_copy
    assert not fbs.FbsLoader(plain).load(0, None, False).m_param_copy
    assert fbs.FbsLoader(plain).load(None, True).m_param_copy


# 3.2.5 to 3.2.8: testing and profiling


def test_memory_and_module_info_have_the_guides_rows(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model(small_file("c"))
    assert model.test()
    assert list(model.get_memory_info()) == ["fbs_model", "parameter", "parameter_copy", "variable", "others", "total"]
    info = model.get_module_info()
    assert info["/conv"].type == "Conv"
    assert info["total"].latency == pytest.approx(sum(row.latency for name, row in info.items() if name != "total"))
    model.print_module_info(info, True)
    model.profile_module(True)
    model.profile(True)
    assert capsys.readouterr().out.count("module summary") == 3


# 3.3: the way of a value through a model


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_the_flow_of_the_guide(target: str) -> None:
    model = Model(small_file(target), target=target)
    model_input = next(iter(model.get_inputs().values()))
    model_output = next(iter(model.get_outputs().values()))
    rounding = model.chip.rounding

    real = np.random.default_rng(6).normal(0, 0.4, INPUT_SHAPE).astype(np.float32)
    quantized = dl.quantize(real[0, 0, 0, 0], dl.DL_RESCALE(model_input.exponent), np.int8, rounding)
    assert quantized.dtype == np.int8
    input_tensor = TensorBase(list(INPUT_SHAPE), real)
    assert model_input.assign(input_tensor)
    assert model_input.get_element(0) == quantized
    model.run()

    output_tensor = TensorBase([1, 5], None, 0, dl.DATA_TYPE_FLOAT)
    assert output_tensor.assign(model_output)
    for index in range(5):
        value = model_output.get_element(index)
        assert dl.dequantize(value, dl.DL_SCALE(model_output.exponent)) == output_tensor.get_element(index)
    np.testing.assert_array_equal(model_output.data, model.run_arrays({"x": real})["y"])


def test_every_form_of_run(x: np.ndarray) -> None:
    model = Model(small_file("c"))
    expected = model.run_arrays({"x": x}, ["c", "y"])
    given = TensorBase(x.shape, x, -7)
    intermediate = TensorBase([1, 6, 6, 20], None, -4, dl.DATA_TYPE_INT8)
    model.get_input().assign(given)
    model.run(dl.RUNTIME_MODE_MULTI_CORE)
    np.testing.assert_array_equal(model.get_output().data, expected["y"])
    model.run(given, dl.RUNTIME_MODE_SINGLE_CORE)
    np.testing.assert_array_equal(model.get_output().data, expected["y"])
    model.run({"x": given}, dl.RUNTIME_MODE_AUTO, {"c": intermediate})
    np.testing.assert_array_equal(intermediate.data, expected["c"])
    with pytest.raises(EspdlError, match=r"no operator produces 'cc'"):
        model.run({"x": given}, dl.RUNTIME_MODE_AUTO, {"cc": intermediate})


@pytest.mark.parametrize(
    ("target", "expected"), [("c", [1, 2, 3, -1, -2]), ("esp32s3", [1, 2, 3, -1, -2]), ("esp32p4", [0, 2, 2, -2, -2])]
)
def test_a_models_tensors_round_as_its_chip(target: str, expected: list[int]) -> None:
    ties = np.zeros(INPUT_SHAPE, np.float32)
    ties.flat[:5] = np.array([0.5, 1.5, 2.5, -1.5, -2.0]) * 2.0**-7
    model = Model(small_file(target), target=target)
    model.get_input().assign(TensorBase(INPUT_SHAPE, ties))
    assert model.get_input().data.flat[:5].tolist() == expected
    assert dl.quantize(ties.flat[:5], dl.DL_RESCALE(-7), dl.DATA_TYPE_INT8, model.chip.rounding).tolist() == expected
    assert TensorBase([5], None, -7, dl.DATA_TYPE_INT8).rounding is None


def test_scale_helpers() -> None:
    assert dl.DL_SCALE(-3) == 0.125 and dl.DL_RESCALE(-3) == 8
    assert dl.DL_SCALE(dl.ExponentInfo(4)) == 16
    assert dl.quantize(1e9, 1.0) == 127 and dl.quantize(-1e9, 1.0, dl.DATA_TYPE_INT16) == -32768
    assert dl.quantize(2.5, 1.0) == 3 and dl.quantize(2.5, 1.0, rounding=Rounding.HALF_EVEN) == 2
    assert dl.dequantize(np.array([-3, 5], np.int8), 0.5).tolist() == [-1.5, 2.5]


# 4.1 to 4.4: what the table of names does not say


def test_exponents_of_one_entry_are_per_tensor() -> None:
    assert not dl.ExponentInfo([3]).is_per_channel() and int(dl.ExponentInfo([3])) == 3
    per_channel = dl.ExponentInfo([1, 2])
    assert per_channel.get() == int(per_channel) == 0 and per_channel.get(1) == 2 and per_channel.channel_size() == 2
    assert dl.ExponentInfo(3) == 3 != dl.ExponentInfo([3, 3])


def test_indices_of_variables_and_parameters() -> None:
    context = dl.ModelContext()
    assert context.add_tensor("x") == 0 and context.add_tensor("w", True) == CONTEXT_PARAMETER_OFFSET
    assert context.get_tensor_index("w") == CONTEXT_PARAMETER_OFFSET and context.get_variable_index("w") == -1
    assert context.get_tensor("nobody") is None and context.get_tensor_index("nobody") == -1
    assert (context.get_variable_count(), context.get_parameter_count()) == (1, 1)


def test_chunks_are_made_from_a_size_or_a_tensor() -> None:
    tensor = dl.TensorInfo("t", 0, 1, [5], dl.DATA_TYPE_INT16)
    assert dl.MemoryChunk(tensor).size == 16
    assert dl.MemoryChunk(tensor, 64).size == dl.MemoryChunk(tensor, alignment=64).alignment == 64
    assert dl.MemoryChunk(48, True, 32).is_free and dl.MemoryChunk(48, True, 32).alignment == 32
