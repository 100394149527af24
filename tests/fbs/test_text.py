"""The ``.info`` text."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.fbs import info_text
from espdl.fbs.records import Attribute, Graph, Model, Node, Tensor, ValueInfo
from espdl.fbs.text import _array


def test_small_model() -> None:
    x, y = ValueInfo("input.1", DType.INT8, (1, 2), (-5,)), ValueInfo("26", DType.FLOAT, (1, 5), (0,))
    bias = Tensor("b", (3,), DType.INT32, np.array([1, -20, 300], np.int32), (-9, -8, -9), "layout ==> UNK")
    scale = Tensor("s", (), DType.FLOAT, np.array(0.5, np.float32), (0,))
    attributes = [Attribute("axis", -1), Attribute("quant_type", "S8"), Attribute("alpha", 1.0), Attribute("list", [0.5, 2.0])]
    node = Node("Softmax", "/softmax", ["input.1", "", "b"], ["26"], attributes)
    answer = Tensor("26", (1, 5), DType.FLOAT, np.array([[0.25, 0.5, 0, 0, 0.25]], np.float32), (0,))
    graph = Graph("main_graph", [node], [bias, scale], [x], [y], [x, y], [], [answer])
    assert info_text(Model(graph, metadata_props={"author": "me"})) == (
        """model properties:
metadata_props:
author: me

graph main_graph (
  %input.1[INT8, 1x2], exponents: [-5]
) initializers (
  %b[INT32, 3]
  %s[FLOAT, scalar]
) {
  %26 = Softmax[alpha = 1, axis = -1, list = [0.5, 2], quant_type = 'S8'](%input.1, %, %b)
  return %26
}

initializers value:
%b, shape: [3], exponents: [-9, -8, -9], docString: b'layout ==> UNK',
value: array([  1, -20, 300,   0], dtype=int32)
%s, shape: [], exponents: [0],
value: array([0.5, 0. , 0. , 0. ], dtype=float32)
values info:
%input.1[INT8, 1x2], exponents: [-5]
%26[FLOAT, 1x5], exponents: [0]
test inputs value:
test outputs value:
%26, shape: [1, 5], exponents: [0],
value: array([0.25, 0.5 , 0.  , 0.  , 0.25, 0.  , 0.  , 0.  ], dtype=float32)
"""
    )


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "i4", "i8", "u8", "f2", "f4", "f8", "?"])
def test_arrays_look_as_numpy_prints_them(dtype: str) -> None:
    rng = np.random.default_rng(4)
    for size in (*range(40), 100, 1000):
        array = (rng.normal(size=size) * 10 ** rng.integers(0, 3)).astype(np.dtype(dtype))
        with np.printoptions(threshold=sys.maxsize):
            assert "\n".join(_array(array)) == repr(array)


def test_large_arrays_take_no_time() -> None:
    array = np.random.default_rng(5).integers(-128, 128, 300_000).astype(np.int8)
    started = time.process_time()
    assert "\n".join(_array(array)).count("\n") > 20_000
    assert time.process_time() - started < 5  # takes 0.1 seconds, numpy.array_repr about a minute


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("size", [16, 17, 18, 19, 20, 1000])
def test_many_integers_of_few_values_are_written_as_numpy_does(dtype: type, size: int) -> None:
    for limit in (1, 9, 100):
        values = np.random.default_rng(size).integers(-limit, limit, size).astype(dtype)
        with np.printoptions(threshold=size):
            assert "\n".join(_array(values)) == repr(values)
