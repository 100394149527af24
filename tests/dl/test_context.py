import pytest

from espdl.dl.context import CONTEXT_PARAMETER_OFFSET, ModelContext
from espdl.dl.profile import MemInfo
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


def test_variables_and_parameters_have_indices_of_their_own():
    context = ModelContext()
    weight = TensorBase([3])
    assert context.add_tensor("x") == 0
    assert context.add_tensor("w", True, weight) == CONTEXT_PARAMETER_OFFSET == 10_000_000
    assert context.add_tensor("y") == 1
    assert context.add_tensor("b", True) == CONTEXT_PARAMETER_OFFSET + 1
    assert (context.get_variable_count(), context.get_parameter_count()) == (2, 2)
    assert context.get_tensor("w") is context.get_tensor(CONTEXT_PARAMETER_OFFSET) is weight
    assert (context.get_tensor_index("w"), context.get_variable_index("w")) == (CONTEXT_PARAMETER_OFFSET, -1)
    assert (context.get_tensor_index("y"), context.get_variable_index("y")) == (1, 1)


def test_a_known_name_keeps_its_index():
    context = ModelContext()
    context.add_tensor("x")
    tensor = TensorBase([1])
    assert context.add_tensor("x", False, tensor) == 0
    assert context.m_variables == [tensor]
    with pytest.raises(EspdlError, match="both a constant"):
        context.add_tensor("x", True)


def test_omitted_inputs_share_one_parameter():
    context = ModelContext()
    first = context.add_tensor("", True)
    assert context.add_tensor("", True) == first
    assert context.add_tensor("") == first
    assert context.get_parameter_count() == 1
    assert context.get_tensor("") is None


def test_tensors_without_name_and_unknown_ones():
    context = ModelContext()
    tensor = TensorBase([1])
    assert context.push_back_tensor(tensor) == 0
    assert context.push_back_tensor(None, True) == CONTEXT_PARAMETER_OFFSET
    context.update_tensor(CONTEXT_PARAMETER_OFFSET, tensor)
    assert context.get_tensor(CONTEXT_PARAMETER_OFFSET) is tensor
    for unknown in (1, -1, CONTEXT_PARAMETER_OFFSET + 1, "z"):
        assert context.get_tensor(unknown) is None
    assert context.get_tensor_index("z") == context.get_variable_index("z") == -1
    with pytest.raises(EspdlError, match="index 5"):
        context.update_tensor(5, None)


def test_arenas():
    context = ModelContext()
    assert context.get_psram_root() is None
    assert context.root_alloc(0, 100)
    assert context.get_internal_root() is None
    root = context.get_psram_root()
    assert root is not None
    assert root.ctypes.data % 16 == 0
    assert root.size >= 100
    assert not root.any()
    assert context.get_variable_memory_size() == MemInfo(psram=100)
    context.root_free()
    assert context.get_psram_root() is None
    assert context.get_variable_memory_size().total == 0


def test_arenas_beyond_this_machine():
    with pytest.raises(EspdlError, match="cannot be had"):
        ModelContext().root_alloc(1 << 62, 0)


def test_parameter_sizes_count_copies_and_views_apart():
    context = ModelContext()
    data = TensorBase([20], None, 0, DType.INT8).data
    context.add_tensor("copied", True, TensorBase([17], None, 0, DType.INT8))
    context.add_tensor("view", True, TensorBase([20], data, 0, DType.INT8, deep=False))
    context.add_tensor("none", True)
    assert context.get_parameter_memory_size(True) == MemInfo(psram=32)
    assert context.get_parameter_memory_size(False) == MemInfo(flash=32)
    assert context.get_parameter_memory_size(False, file_memory="psram") == MemInfo(psram=32)
    context.psram = False
    assert context.get_parameter_memory_size(True) == MemInfo(internal=32)


def test_forgetting():
    context = ModelContext()
    context.add_tensor("x", False, TensorBase([1]))
    context.root_alloc(16, 16)
    context.minimize()
    assert context.get_tensor("x") is None
    assert context.get_tensor(0) is not None
    context.root_reset()
    assert context.get_variable_count() == 0
    assert context.get_internal_root() is not None
    context.clear()
    assert context.get_internal_root() is None


def test_a_context_without_machine_says_so():
    with pytest.raises(EspdlError, match="no machine"):
        _ = ModelContext().machine
