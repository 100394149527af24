"""Why the C++ code fails a file, why a value is off by one, what a file tests: read from the file and its outcome."""

from __future__ import annotations

from typing import Any

import pytest

from espdl.dl.filetest import FileVerdict, Outcome
from espdl.dtypes import DType
from espdl.fbs import FbsModel, records, write_model
from espdl.report.conformance.cases import NETWORK, dtype_name, operator_of
from espdl.report.conformance.causes import FileFacts, causes_of, tolerances_of

PASS = FileVerdict("f", Outcome.PASS, "", arithmetic="reference")


def node(op_type: str, quant_type: str = "S8", inputs: tuple[str, ...] = ("x",), **attributes: Any) -> records.Node:
    values = [records.Attribute(name, value) for name, value in {"quant_type": quant_type, **attributes}.items()]
    return records.Node(op_type, f"/{op_type}", list(inputs), [f"{op_type}.out"], values)


def model(*nodes: records.Node) -> FbsModel:
    x = records.ValueInfo("x", DType.INT8, (1, 4), (-4,))
    made = [records.ValueInfo(name, DType.INT8, (1, 4), (-4,)) for node in nodes for name in node.output]
    return FbsModel(write_model(records.Model(records.Graph("g", list(nodes), [], [x], made[-1:], [x, *made]))))


def facts(*nodes: records.Node) -> FileFacts:
    return FileFacts(model(*nodes))


def error(detail: str) -> FileVerdict:
    return FileVerdict("f", Outcome.ERROR, detail)


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([node("Conv", "W8A16")], "(W8A16)"),
        ([node("MatMul", input1_layout="native_kn")], "native_kn"),
        ([node("Conv", "F32"), node("Gemm", "F32", ("Conv.out",))], "no float32 Conv, float32 Gemm"),
        ([node("Attention")], "Attention is newer"),
        ([node("Max")], "ESP-DL 3.3.9 has Max"),
        ([node("Erf")], "Erf, no operator of ESP-DL"),
        ([node("Relu")], "computes other values"),
    ],
)
def test_what_passes_here_follows_the_simulation(nodes: list[records.Node], text: str) -> None:
    (cause,) = causes_of(facts(*nodes), PASS)
    assert text in cause.disagrees
    assert "simulation" in cause.rule or "simulation" in cause.disagrees


@pytest.mark.parametrize(
    ("nodes", "detail", "text"),
    [
        ([node("Erfc")], "operator 'Erfc' is not known", "Erfc, no operator of ESP-DL"),
        ([node("Resize", "S16")], "node 'r' (Resize): no int16 form", "no int16 Resize"),
        ([node("Conv", "F32"), node("MaxPool", "F32", ("Conv.out",))], "node 'm' (MaxPool): none", "no float32 MaxPool"),
        ([node("Split", num_outputs=2)], "the lengths are not given", "num_outputs"),
        (
            [node("StreamingCache"), node("Add", inputs=("StreamingCache.out", "x"))],
            "shapes do not broadcast",
            "frames of a StreamingCache",
        ),
    ],
)
def test_what_stops_a_file_is_the_cause(nodes: list[records.Node], detail: str, text: str) -> None:
    (cause,) = causes_of(facts(*nodes), error(detail))
    assert text in cause.disagrees
    assert cause.rule.startswith(("as on the chip", "refused"))


def test_what_runs_here_does_not_stop_a_file() -> None:
    (cause,) = causes_of(facts(node("Conv", "W8A16")), error("something else"))
    assert "something else" in cause.disagrees
    assert "not explained" in cause.rule


def test_exponents_that_differ_explain_other_values() -> None:
    add = node("Add", inputs=("x", "z"))
    values = [
        records.ValueInfo(name, DType.INT8, (1, 4), (exponent,)) for name, exponent in (("x", -4), ("z", -4), ("Add.out", -3))
    ]
    graph = records.Graph("g", [add], [], values[:2], values[2:], values)
    file = FileFacts(FbsModel(write_model(records.Model(graph))))
    failed = FileVerdict("f", Outcome.FAIL, "4 of 4 values differ")
    (cause,) = causes_of(file, failed)
    assert cause.disagrees.startswith("Add between tensors of different exponents")
    (cause,) = causes_of(facts(node("Add")), failed)
    assert "not explained" in cause.rule


def verdict(arithmetic: str, *, off_by_one: int = 0, inexact: int = 0) -> FileVerdict:
    output = {"off_by_one": off_by_one, "inexact": inexact, "largest": 1.0 if off_by_one else 1e-6}
    return FileVerdict("f", Outcome.PASS, "", arithmetic=arithmetic, outputs=(output,))


@pytest.mark.parametrize(
    ("op_type", "arithmetic", "text"),
    [
        ("Conv", "reference", "24 bits"),
        ("Mul", "silicon", "24 bits"),
        ("Mul", "reference", "the last place is not defined"),
        ("LSTM", "reference", "the last place is not defined"),
    ],
)
def test_why_an_int16_value_is_off_by_one(op_type: str, arithmetic: str, text: str) -> None:
    (used,) = tolerances_of(facts(node(op_type, "S16")), verdict(arithmetic, off_by_one=2))
    assert (used.kind, used.elements, used.largest) == ("int16", 2, 1.0)
    assert text in used.why


def test_float_and_integer_tolerances_are_told_apart() -> None:
    file = facts(node("Softmax", "S16"))
    assert tolerances_of(file, PASS) == ()
    (used,) = tolerances_of(file, verdict("reference", inexact=3))
    assert (used.kind, used.elements, used.largest) == ("float32", 3, 1e-6)


@pytest.mark.parametrize(
    ("quant_types", "name"),
    [
        ({"S8"}, "int8"),
        ({"S16", "F32"}, "int16"),
        ({"F32"}, "float32"),
        ({"S16", "W8A16"}, "w8a16"),
        ({"S8", "S16"}, "mixed"),
        (set(), "none"),
    ],
)
def test_type_of_a_file(quant_types: set[str], name: str) -> None:
    assert dtype_name(quant_types) == name


@pytest.mark.parametrize(
    ("types", "name"),
    [
        (["Add"], "Add"),
        (["QuantizeLinear", "Log", "DequantizeLinear"], "Log"),
        (["Transpose", "GRU", "Squeeze"], "GRU"),
        (["Squeeze"], "Squeeze"),
        (["Conv", "Relu"], NETWORK),
    ],
)
def test_operator_of_a_file(types: list[str], name: str) -> None:
    nodes, source = [], "x"
    for op_type in types:
        nodes.append(node(op_type, inputs=(source,)))
        source = f"{op_type}.out"
    assert operator_of(model(*nodes)) == name
