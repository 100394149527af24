"""Nodes that omit outputs: behind the last one they name, and, where the operator can do without, before it."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dl.plan import PlanGraph, PlanNode, Value, plan
from espdl.dtypes import DType, Inplace
from espdl.errors import EspdlError
from espdl.fbs import records, wrap_model, write_model

STEPS, SIZE, HIDDEN = 5, 4, 3
NAMES = ("y", "h", "c")
SHAPES = {"y": (STEPS, 1, 1, HIDDEN), "h": (1, 1, HIDDEN), "c": (1, 1, HIDDEN)}
X = np.random.default_rng(1).integers(-128, 128, (STEPS, 1, SIZE), dtype=np.int8)


def lstm(outputs: list[str], *, behind: str = "") -> Model:
    """An LSTM with those outputs, "" for an omitted one, and a Relu behind one of them."""
    rng = np.random.default_rng(2)
    weights = [
        records.Tensor(name, shape, DType.INT8, rng.integers(-128, 128, shape, dtype=np.int8), (-8,))
        for name, shape in (("w", (1, 4 * HIDDEN, SIZE)), ("r", (1, 4 * HIDDEN, HIDDEN)))
    ]
    s8 = records.Attribute("quant_type", "S8")
    attributes = [records.Attribute("gate_exponent", -9), records.Attribute("hidden_size", HIDDEN), s8]
    nodes = [records.Node("LSTM", "/lstm", ["x", "w", "r"], outputs, attributes)]
    kinds = {"y": (DType.INT8, -7), "h": (DType.INT8, -7), "c": (DType.INT16, -9)}
    info = [records.ValueInfo(name, kinds[name][0], SHAPES[name], (kinds[name][1],)) for name in outputs if name]
    results = list(info)
    if behind:
        nodes.append(records.Node("Relu", "/relu", [behind], ["z"], [s8]))
        results.append(records.ValueInfo("z", kinds[behind][0], SHAPES[behind], (kinds[behind][1],)))
    x = records.ValueInfo("x", DType.INT8, X.shape, (-6,))
    graph = records.Graph("lstm", nodes, weights, [x], results, [x, *results])
    return Model(wrap_model(write_model(records.Model(graph))), target="c")


@pytest.mark.parametrize("outputs", [["y"], ["y", "h"], ["", "h"], ["", "h", "c"], ["y", "", "c"], ["y", "", ""], ["", "h", ""]])
def test_outputs_that_are_there_do_not_depend_on_those_that_are_not(outputs: list[str]) -> None:
    whole = lstm(list(NAMES)).run_arrays({"x": X})
    model = lstm(outputs)
    named = [name for name in outputs if name]
    assert model.variable_names == ["x", *named]
    assert set(model.memory.plan.tensors) == {"x", *named}
    assert model.memory.plan.hazards == ()
    got = model.run_arrays({"x": X})
    assert list(got) == sorted(named)
    assert all(np.array_equal(got[name], whole[name]) for name in named)
    assert set(model.run_arrays({"x": X}, model.variable_names)) == {"x", *named}


def test_operators_behind_the_one_output_that_is_there() -> None:
    got = lstm(["", "h"], behind="h").run_arrays({"x": X})
    np.testing.assert_array_equal(got["z"], np.maximum(got["h"], 0))


def test_an_output_that_its_operator_always_writes_cannot_be_omitted() -> None:
    s8 = records.Attribute("quant_type", "S8")
    x = records.ValueInfo("x", DType.INT8, (4,), (0,))
    y = records.ValueInfo("y", DType.INT8, (2,), (0,))
    node = records.Node("Split", "/split", ["x"], ["", "y"], [records.Attribute("num_outputs", 2), s8])
    graph = records.Graph("split", [node], [], [x], [y], [x, y])
    with pytest.raises(EspdlError, match=r"node '/split' \(Split\): output 0 is omitted"):
        Model(wrap_model(write_model(records.Model(graph))), target="c")


def test_the_planner_takes_fewer_names_only_where_the_rest_is_optional() -> None:
    def graph(optional: frozenset[int]) -> PlanGraph:
        node = PlanNode("n", Inplace.NON_INPLACE, ["x"], ["", "h"], lambda _: [[9], [3], [3]], "LSTM", optional)
        values = {"x": Value(DType.INT8, 0, [9]), "h": Value(DType.INT8)}
        return PlanGraph([node], ["x"], ["h"], ["x", "h"], values, {})

    planned = plan(graph(frozenset({0, 1, 2})))
    assert {name: tensor.shape for name, tensor in planned.tensors.items()} == {"x": (9,), "h": (3,)}
    with pytest.raises(EspdlError, match="the operator makes 3 outputs, the node names 2"):
        plan(graph(frozenset({0, 1})))
