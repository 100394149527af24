"""Graphs that cannot run are refused with the node or value that is to blame."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import FbsModel, validate_model, write_model
from espdl.fbs.records import Attribute, Model, Node, ValueInfo


def test_sample_is_valid(record: Model) -> None:
    validate_model(record)


def remove_weight(model: Model) -> None:
    del model.graph.initializer[1]


def cycle(model: Model) -> None:
    model.graph.node[0].input[0] = "r"


def self_cycle(model: Model) -> None:
    model.graph.node[1].input[0] = "s"


def wrong_order(model: Model) -> None:
    model.graph.node.reverse()


def twice_produced(model: Model) -> None:
    model.graph.node[1].output[0] = "c"


def overwrites_input(model: Model) -> None:
    model.graph.node[1].output[0] = "x"


def overwrites_constant(model: Model) -> None:
    model.graph.node[1].output[0] = "b"
    model.graph.value_info.append(ValueInfo("b", DType.INT32, (20,), (0,)))


def no_table(model: Model) -> None:
    del model.graph.initializer[0]


def no_value_info(model: Model) -> None:
    del model.graph.value_info[2]


def no_type(model: Model) -> None:
    model.graph.value_info[2].data_type = DType.UNDEFINED


def contradiction(model: Model) -> None:
    model.graph.value_info.append(ValueInfo("c", DType.INT16, (1, 8, 8, 20), (-4,)))


def huge(model: Model) -> None:
    model.graph.value_info[2].shape = (1, 1 << 15, 1 << 15, 1)


def exponents(model: Model) -> None:
    model.graph.initializer[1].exponents = (-1, -2)


def value_exponents(model: Model) -> None:
    model.graph.value_info[2].exponents = (-1, -2)


def answer_exponents(model: Model) -> None:
    model.graph.test_outputs_value[0].exponents = (-1, -2)


def two_constants(model: Model) -> None:
    model.graph.initializer[3].name = "b"


def two_nodes(model: Model) -> None:
    model.graph.node[3].name = "/conv"


def nameless_node(model: Model) -> None:
    model.graph.node[3].name = ""


def nameless_constant(model: Model) -> None:
    model.graph.initializer[3].name = ""


def lost_output(model: Model) -> None:
    model.graph.output.append(ValueInfo("lost", DType.INT8, (1,), (0,)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_weight, r"node '/conv' \(Conv\): input 'w' is missing: no constant, graph input or node provides it"),
        (cycle, r"node '/conv' \(Conv\): the graph is cyclic \(.*/conv -> .*-> /conv\)"),
        (self_cycle, r"node '/sigmoid' \(Sigmoid\): the graph is cyclic \(.*: /sigmoid -> /sigmoid\)"),
        (wrong_order, r"node '/reshape' \(Reshape\): the nodes are not in running order \(input 'r' comes from node '/resize'"),
        (twice_produced, r"node '/sigmoid' \(Sigmoid\): output 'c' already has a producer"),
        (overwrites_input, "output 'x' already has a producer"),
        (overwrites_constant, "output 'b' already has a producer"),
        (no_table, r"node '/sigmoid' \(Sigmoid\): table 'Sigmoid_lut_0' is missing"),
        (no_value_info, r"node '/sigmoid' \(Sigmoid\): output 's' has no value_info"),
        (no_type, "value 's': the file does not say its element type"),
        (contradiction, "value 'c': two value_info entries contradict each other"),
        (huge, "value 's': shape .* is more than any chip can hold"),
        (exponents, r"constant 'w': 2 exponents belong to no dimension of shape \[3, 3, 4, 20\]"),
        (value_exponents, "value 's': 2 exponents belong to no dimension"),
        (answer_exponents, "test value 'y': 2 exponents belong to no dimension"),
        (two_constants, "constant 'b': there is another constant of this name"),
        (two_nodes, "node '/conv': there is another node of this name"),
        (nameless_node, "node 3: it has no name"),
        (nameless_constant, "constant 3: it has no name"),
        (lost_output, "graph output 'lost': no node produces it"),
    ],
)
def test_graph_that_cannot_run(record: Model, damage: Callable[[Model], None], message: str) -> None:
    damage(record)
    with pytest.raises(EspdlError, match=message):
        FbsModel(write_model(record))


def test_source_is_named(record: Model) -> None:
    cycle(record)
    with pytest.raises(EspdlError, match=r"^net\.espdl: node '/conv'"):
        FbsModel(write_model(record), source="net.espdl")


def test_many_nodes_backwards_take_no_time(record: Model) -> None:
    count = 20_000
    s8 = [Attribute("quant_type", "S8")]
    record.graph.node = [Node("Relu", f"n{i}", [f"v{i - 1}" if i else "x"], [f"v{i}"], s8) for i in reversed(range(count))]
    record.graph.value_info = [ValueInfo(f"v{i}", DType.INT8, (1,), (0,)) for i in range(count)]
    started = time.process_time()
    with pytest.raises(EspdlError, match="not in running order"):
        validate_model(record)
    record.graph.node[-1].input[0] = f"v{count - 1}"
    with pytest.raises(EspdlError, match="the graph is cyclic"):
        validate_model(record)
    assert time.process_time() - started < 5  # takes 0.2 seconds
