"""The memory manager: reads a model, plans it and places its variables."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from espdl.dl.context import ModelContext
from espdl.dl.memory import MemoryManagerGreedy
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class FakeFile:
    """What the memory manager asks a file: x, w -> n0 (in place) -> y."""

    def __init__(self, **values):
        self.values = values

    def get_graph_inputs(self):
        return ["x"]

    def get_graph_outputs(self):
        return ["y"]

    def get_node(self, name):
        return SimpleNamespace(name=name, op_type="Fake", input=["x", "w", ""], output=["y"])

    def is_parameter(self, name):
        return name == "w"

    def get_parameter(self, name):
        return TensorBase([7])

    def get_value_info(self, name):
        return self.values[name]


def value(dtype, shape, *exponents):
    return SimpleNamespace(data_type=dtype, shape=shape, exponents=exponents)


class FakeModule:
    name = "n0"
    inplace = Inplace.CHANGED_BUFFER
    optional_outputs = frozenset()

    def __init__(self):
        self.seen = None

    def get_output_shape(self, input_shapes):
        self.seen = input_shapes
        return [[2, *input_shapes[0][1:]]]


def allocated(manager, **arguments):
    file = FakeFile(x=value(DType.INT16, (2, 5), -3), y=value(DType.INT8, (99,), -4, -5))
    context = ModelContext()
    context.add_tensor("x")
    context.add_tensor("w", True, arguments.pop("parameter", None))
    context.add_tensor("", True)
    context.add_tensor("y")
    module = FakeModule()
    assert manager.alloc(file, [module], context, **arguments)
    return context, module


class TestManager:
    def test_alloc_places_every_variable(self, caplog):
        manager = MemoryManagerGreedy()
        with caplog.at_level(logging.WARNING):
            context, module = allocated(manager)
        x, y = context.get_tensor("x"), context.get_tensor("y")
        assert module.seen == [[2, 5], [7], []]
        assert (x.dtype, x.shape, x.exponent, x.auto_free) == (DType.INT16, [2, 5], -3, False)
        assert (y.dtype, y.shape, y.exponent) == (DType.INT8, [2, 5], -4)
        assert "first is used" in caplog.text
        assert np.shares_memory(x.data, y.data)
        assert np.shares_memory(x.data, context.get_psram_root())
        assert x.data.ctypes.data % 16 == 0
        assert context.get_variable_memory_size().psram == 32 == manager.plan.psram_size

    def test_input_shapes_replace_those_of_the_file(self):
        context, module = allocated(MemoryManagerGreedy(), input_shapes={"x": [2, 9]}, parameter=TensorBase([3, 3]))
        assert context.get_tensor("y").shape == [2, 9]
        assert module.seen == [[2, 9], [3, 3], []]
        with pytest.raises(EspdlError, match="no input 'z'"):
            allocated(MemoryManagerGreedy(), input_shapes={"z": [1]})

    def test_without_psram(self):
        context, _ = allocated(MemoryManagerGreedy(100), psram=False)
        assert context.get_psram_root() is None
        assert not context.psram
        assert np.shares_memory(context.get_tensor("y").data, context.get_internal_root())

    def test_the_plan_exists_after_alloc(self):
        manager = MemoryManagerGreedy()
        with pytest.raises(EspdlError, match="nothing is planned"):
            _ = manager.plan
        allocated(manager)
        assert manager.plan.tensors["y"].leader == "x"
        manager.free()
        with pytest.raises(EspdlError, match="nothing is planned"):
            _ = manager.plan

    @pytest.mark.parametrize("alignment", [0, 8, 24])
    def test_alignments_that_are_none(self, alignment):
        with pytest.raises(EspdlError, match="aligned"):
            MemoryManagerGreedy(0, alignment)
