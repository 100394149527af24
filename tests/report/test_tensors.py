"""The table of tensors: order of axes, packing, exponents, ranges, sizes."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.fbs.packing import parse_packing_tag, unpack_filter
from espdl.fbs.records import Attribute, Graph, Node, Tensor, ValueInfo
from espdl.report.tensors import channels_last, tensor_rows
from tests.models import small_records


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_rows_of_a_file(target: str) -> None:
    graph = small_records(target).graph
    rows = {row.name: row for row in tensor_rows(graph)}
    assert list(rows) == ["x", "c", "a", "g", "f", "y", "conv.weight", "conv.bias", "fc.weight"]
    x, y, weight = rows["x"], rows["y"], rows["conv.weight"]
    assert (x.kind, x.shape, x.layout, x.dtype, x.exponents, x.size) == ("input", (1, 6, 6, 3), "NHWC", "int8", (-7,), 108)
    assert x.real_range == (-1.0, 127 / 128)
    assert (y.kind, y.layout, y.size, y.exponent_text) == ("output", "", 5, "-3")
    assert [rows[name].layout for name in "cagf"] == ["NHWC", "NHWC", "NHWC", ""]
    values = graph.initializer[0].data
    assert weight.real_range == (values.min() / 64, values.max() / 64)
    assert weight.layout == "(N/16)HWC16_UNALIGNED"
    assert weight.size == 540
    assert rows["conv.bias"].layout == ""


def test_parameters_with_one_exponent_per_channel() -> None:
    graph = small_records("esp32p4", per_channel=True).graph
    rows = {row.name: row for row in tensor_rows(graph)}
    weight, bias = graph.initializer[0], graph.initializer[1]
    tag = parse_packing_tag(weight.doc_string)
    assert tag is not None
    real = unpack_filter(weight.data, weight.dims, tag, False) * np.exp2(np.array(weight.exponents, float))
    assert rows["conv.weight"].real_range == (real.min(), real.max())
    real = bias.data * np.exp2(np.array(bias.exponents, float))
    assert rows["conv.bias"].real_range == (real.min(), real.max())
    assert rows["conv.weight"].exponent_text == f"{min(weight.exponents)} .. {max(weight.exponents)}"


def test_channels_last_reaches_through_what_takes_any_order() -> None:
    nodes = [
        Node("Relu", "a", ["x"], ["r"]),
        Node("Add", "b", ["r", "s"], ["t"]),
        Node("Conv", "c", ["t", "w"], ["u"]),
        Node("Transpose", "d", ["u"], ["v"]),
        Node("Relu", "e", ["v"], ["y"]),
    ]
    weight = Tensor("w", (1, 1, 4, 4), DType.INT8, np.zeros((1, 1, 4, 4), np.int8), (0,))
    assert channels_last(Graph("g", nodes, [weight], [], [], [])) == {"x", "r", "s", "t", "u"}


def test_what_a_file_does_not_say() -> None:
    values = [ValueInfo("x", DType.FLOAT, None), ValueInfo("y", DType.INT64, (2,), ())]
    constants = [
        Tensor("i", (2,), DType.INT64, np.array([1, 9]), (0,)),
        Tensor("f", (2,), DType.FLOAT, np.array([np.nan, 1], np.float32)),
        Tensor("none", (0,), DType.INT8, np.zeros(0, np.int8), (0,)),
        Tensor("odd", (2, 2), DType.INT8, np.ones((2, 2), np.int8), (0, 1), "layout ==> (N/16)HWC8"),
    ]
    node = Node("Unheard", "n", ["x", "i"], ["y"], [Attribute("group", "two")])
    x, y, i, f, none, odd = tensor_rows(Graph("g", [node], constants, values[:1], values[1:], values))
    assert (x.shape, x.size, x.real_range, x.exponents) == (None, None, None, ())
    assert y.size == 16
    assert (i.real_range, i.exponents) == ((1.0, 9.0), ())
    assert f.real_range is none.real_range is odd.real_range is None
    assert odd.layout == ""
