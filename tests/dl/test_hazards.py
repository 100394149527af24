"""Plans are run byte by byte: whatever is overwritten before it is used must be reported, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from espdl.dl.plan import MemoryPlan, PlanGraph, PlanNode, Value, plan
from espdl.dtypes import DType, Inplace
from espdl.fbs import FbsLoader
from tests.conftest import conformance_directory

N, V, C = Inplace.NON_INPLACE, Inplace.UNCHANGED_BUFFER, Inplace.CHANGED_BUFFER


def run_bytes(graph: PlanGraph, planned: MemoryPlan) -> set[str]:
    """Runs a graph on marked bytes and returns the tensors that were not what they should be when they were used.

    Every byte of every tensor has a mark of its own. A view copies the marks of its first input, as the chip does; every other operator
    checks the marks of its inputs and writes new ones.
    """
    arenas = {True: np.full(planned.internal_size, -1), False: np.full(planned.psram_size, -1)}
    expected: dict[str, np.ndarray] = {}
    spoiled: set[str] = set()
    derived: set[str] = set()

    def place(name: str) -> np.ndarray:
        tensor = planned.tensors[name]
        found = arenas[tensor.internal][tensor.offset : tensor.offset + tensor.size]
        assert found.size == tensor.size, f"{name} leaves its arena"
        return found

    def write(name: str, marks: np.ndarray) -> None:
        expected[name] = marks
        place(name)[...] = marks

    def fresh(name: str) -> np.ndarray:
        return (len(expected) << 32) + np.arange(planned.tensors[name].size)

    def check(name: str) -> bool:
        if np.array_equal(place(name), expected[name]):
            return True
        if name not in derived:
            spoiled.add(name)
        return False

    for name in graph.inputs:
        if name in planned.tensors:
            write(name, fresh(name))
    for node in graph.nodes:
        read = [name for name in node.inputs if name in planned.tensors]
        good = {name: check(name) for name in read}
        for out in (name for name in node.outputs if name in planned.tensors):
            tensor, source = planned.tensors[out], planned.tensors.get(node.inputs[0])
            if node.inplace is V and source and (source.dtype, source.exponent) == (tensor.dtype, tensor.exponent):
                shown = place(source.name)[: tensor.size].copy()
                write(out, shown)
                if not good[source.name]:
                    derived.add(out)
                    expected[out] = np.full(tensor.size, -2)
            else:
                write(out, fresh(out))
        for name in read:  # an operator that does not work in place must leave its inputs alone while it runs
            if good[name] and not np.array_equal(place(name), expected[name]):
                tensor, out = planned.tensors[name], planned.tensors[node.outputs[0]]
                in_place = node.inplace is not N and len(node.outputs) == 1
                if not in_place or (tensor.internal, tensor.offset) != (out.internal, out.offset):
                    spoiled.add(name)
    for name in graph.outputs:
        check(name)
    return spoiled


def reported(planned: MemoryPlan) -> set[str]:
    """Names of tensors in reports of overwriting."""
    found = set()
    for hazard in planned.hazards:
        if match := re.match(r"(?:output |node .* over its input )?'([^']*)'(?: is overwritten|$)", hazard):
            found.add(match[1])
        else:
            assert "repeats" in hazard, hazard
    return found


@st.composite
def graphs(draw: st.DrawFn) -> PlanGraph:
    """Random graphs, with more views and in-place operators in a row than real networks have."""
    dtypes = st.sampled_from([DType.INT8, DType.INT8, DType.INT16, DType.BOOL])
    sizes = st.sampled_from([1, 8, 16, 24, 32, 40, 100])
    shapes: dict[str, list[int]] = {}
    values: dict[str, Value] = {}

    def add(shape: list[int], dtype: DType, exponent: int = 0) -> str:
        name = f"t{len(shapes)}"
        shapes[name] = shape
        values[name] = Value(dtype, exponent, shape)
        return name

    inputs = [add([draw(sizes)], draw(dtypes)) for _ in range(draw(st.integers(1, 2)))]
    nodes = []
    for number in range(draw(st.integers(1, 12))):
        recent = list(shapes)[-5:]
        read = draw(st.lists(st.sampled_from(recent), min_size=1, max_size=3))
        inplace = draw(st.sampled_from([N, V, C, C]))
        first = values[read[0]]
        if inplace is V:  # operators that show their input have one
            read = read[:1]
            same = [*shapes[read[0]]]
            outputs = [add(same, first.dtype, draw(st.sampled_from([first.exponent] * 4 + [first.exponent + 1])))]
        elif inplace is C and draw(st.booleans()):
            outputs = [add([*shapes[read[0]]], first.dtype)]
        else:
            outputs = [add([draw(sizes)], draw(dtypes)) for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]
        made = [shapes[name] for name in outputs]
        nodes.append(
            PlanNode(
                f"n{number}", inplace, [*read, *draw(st.sampled_from([[], [""], ["w"]]))], outputs, lambda _, made=made: made
            )
        )
    consumed = {name for node in nodes for name in node.inputs}
    produced = [name for node in nodes for name in node.outputs]
    results = [name for name in produced if name not in consumed or draw(st.integers(0, 5)) == 0]
    order = list(dict.fromkeys(name for node in nodes for name in (*node.inputs, *node.outputs) if name in shapes))
    return PlanGraph(nodes, inputs, results, order, values, {"w": [3]})


@settings(max_examples=400)
@given(
    graph=graphs(),
    limit=st.sampled_from([0, 0, 48, 64, 100, 1000]),
    psram=st.booleans(),
)
def test_random_graphs(graph, limit, psram):
    planned = plan(graph, limit, psram=psram)
    assert all(tensor.offset % 16 == 0 for tensor in planned.tensors.values())
    assert planned.internal_size == 0 or not psram or planned.internal_size == limit
    assert planned.psram_size == 0 or psram
    event("with hazards" if planned.hazards else "without")
    assert run_bytes(graph, planned) == reported(planned)


@settings(max_examples=150)
@given(graph=graphs(), limit=st.sampled_from([0, 64, 1000]))
def test_without_views_every_plan_is_safe(graph, limit):
    nodes = [PlanNode(n.name, C if n.inplace is V else n.inplace, n.inputs, n.outputs, n.get_output_shape) for n in graph.nodes]
    graph = PlanGraph(nodes, graph.inputs, graph.outputs, graph.variables, graph.values, graph.constants)
    planned = plan(graph, limit)
    assert not reported(planned)
    assert not run_bytes(graph, planned)


_VIEWS = {"Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}
_CHANGING = {
    *("Add", "Mod", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Clip", "PRelu", "Neg", "LUT", "Gelu"),
    *("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Swish", "HardSigmoid", "HardSwish", "Exp", "Log", "Sqrt"),
    *("LayerNormalization", "LpNormalization", "RMSNormalization", "ReduceL1", "ReduceL2", "ReduceMin", "ReduceMax", "ReduceSum"),
    *("ReduceProd", "ReduceMean", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
    *("QuantizeLinear", "DequantizeLinear", "RequantizeLinear"),
}


def graph_of_file(path: Path) -> PlanGraph:
    """A real model with the shapes that its file states and the in-place classes of runtime spec 3.0.3."""
    model = FbsLoader(path).load()
    inputs, outputs = model.get_graph_inputs(), model.get_graph_outputs()
    nodes, names, values, constants = [], [], {}, {}
    for name in model.topological_sort():
        node = model.get_node(name)
        made = [model.get_value_info_shape(output) for output in node.output]
        inplace = V if node.op_type in _VIEWS else C if node.op_type in _CHANGING else N
        nodes.append(PlanNode(name, inplace, node.input, node.output, lambda _, made=made: made, node.op_type))
        names += [*node.input, *node.output]
    for name in dict.fromkeys([*inputs, *names]):
        if model.is_parameter(name):
            constants[name] = model.get_parameter(name).shape
        elif name:
            exponent = model.get_value_info_exponent(name)
            values[name] = Value(model.get_value_info_dtype(name), exponent, model.get_value_info_shape(name))
    return PlanGraph(nodes, inputs, outputs, [name for name in dict.fromkeys(names) if name in values], values, constants)


def model_files() -> list[object]:
    directory = conformance_directory()
    if directory is None:
        return [pytest.param(None, id="absent")]
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in sorted((directory / "models").glob("*/*.espdl"))]


@pytest.mark.parametrize("path", model_files())
@pytest.mark.parametrize("limit", [0, 64 * 1024])
@pytest.mark.usefixtures("conformance")
def test_real_models(path, limit):
    graph = graph_of_file(path)
    planned = plan(graph, limit)
    assert run_bytes(graph, planned) == reported(planned)
    assert not planned.hazards
