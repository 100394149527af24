"""Drawings: rows, places and SVG, whatever the graph and its names."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espdl.fbs.records import Attribute, Graph, Node
from espdl.report.graph import draw_graph, network_of
from espdl.report.graph.kinds import KINDS, kind_of
from espdl.report.graph.layers import MOST_BENDS, assign_layers
from espdl.report.graph.network import title_of
from espdl.report.graph.placing import GAP_X, place
from tests.models import small_records

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><svg onload=alert(1)>\"'&\x00\x1b\u202e\ud800"


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 24))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda pair: pair[0] < pair[1])
    return count, draw(st.lists(pairs, max_size=40, unique=True)) if count > 1 else []


@given(graphs())
def test_edges_lead_downwards_through_every_row(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    layers = assign_layers(count, edges)
    assert sorted(vertex for row in layers.rows for vertex in row) == list(range(len(layers.row_of)))
    for (source, sink), path in zip(edges, layers.paths, strict=True):
        assert (path[0], path[-1]) == (source, sink)
        assert all(layers.row_of[b] == layers.row_of[a] + 1 for a, b in pairwise(path))


@given(graphs())
def test_vertices_do_not_overlap(graph: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = graph
    found = place([(100.0, 40.0)] * count, edges)
    assert all(50 - 1e-6 <= x <= found.width - 50 + 1e-6 and 0 <= y <= found.height - 40 for x, y in found.centres)
    rows: dict[float, list[float]] = {}
    for x, y in found.centres:
        rows.setdefault(y, []).append(x)
    for row in rows.values():
        assert all(b - a >= 100 + GAP_X - 1e-6 for a, b in pairwise(sorted(row)))
    for route in found.routes:
        assert all(upper[2] < lower[1] for upper, lower in pairwise(route))


def test_a_chain_is_straight_and_its_bypass_has_few_corners() -> None:
    found = place([(100.0, 40.0)] * 6, [*((i, i + 1) for i in range(5)), (0, 5)])
    assert len({round(x, 3) for x, _ in found.centres[1:5]}) == 1
    assert len({round(x, 3) for x, _, _ in found.routes[-1][1:-1]}) == 1


def test_branches_do_not_cross() -> None:
    edges = [(0, 1), (0, 2), (0, 3), (3, 4), (1, 5), (2, 6), (4, 7), (5, 7), (6, 7)]
    layers = assign_layers(8, edges)
    place_of = {vertex: index for row in layers.rows for index, vertex in enumerate(row)}
    for a, b in layers.segments:
        for c, d in layers.segments:
            if layers.row_of[a] == layers.row_of[c]:
                assert (place_of[a] - place_of[c]) * (place_of[b] - place_of[d]) >= 0


def test_more_bends_than_a_drawing_takes_leave_long_edges_straight() -> None:
    count = 1000
    edges = [*((i, i + 1) for i in range(count - 1)), *((i, count - 1) for i in range(200))]
    layers = assign_layers(count, edges)
    assert len(layers.row_of) <= count + MOST_BENDS
    assert [len(path) for path in layers.paths].count(2) > count


def test_drawing_of_a_file() -> None:
    graph = small_records("esp32s3").graph
    root = ElementTree.fromstring(draw_graph(network_of(graph)))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    for text in ("Conv 3×3 Relu", "/conv", "Add", "Gemm", "input", "output", "1×6×6×20", "multiplies and accumulates"):
        assert text in texts
    vertices = [element for element in root.iter(f"{SVG}g") if "n" in element.get("class", "").split()]
    assert len(vertices) == 7
    assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "e"]) == 6  # Add reads one tensor twice


def test_names_cannot_leave_their_place() -> None:
    graph = small_records("esp32s3").graph
    graph.name = HOSTILE
    for node in graph.node:
        node.name = HOSTILE + node.name
    for alone in (True, False):
        text = draw_graph(network_of(graph), alone=alone)
        root = ElementTree.fromstring(text.encode())
        assert not any("onload" in element.attrib for element in root.iter())
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
            "svg",
            "g",
            "rect",
            "text",
            "path",
            "title",
            "style",
        }
        assert "<script" not in text and "\x00" not in text


def test_a_graph_without_nodes_and_one_that_reads_what_nobody_makes() -> None:
    ElementTree.fromstring(draw_graph(network_of(Graph("empty", [], [], [], [], []))))
    nodes = [Node("Relu", "late", ["b"], ["a"]), Node("Relu", "early", ["nobody"], ["b"])]
    network = network_of(Graph("odd", nodes, [], [], [], []))
    assert network.edges == []
    ElementTree.fromstring(draw_graph(network))


@pytest.mark.parametrize(
    ("op_type", "kind"),
    [
        ("Conv", "multiply"),
        ("ConvTranspose", "multiply"),
        ("Swish", "table"),
        ("Add", "elementwise"),
        ("MaxPool", "window"),
        ("ReduceMean", "window"),
        ("Transpose", "moves"),
        ("Concat", "moves"),
        ("RequantizeLinear", "converts"),
        ("GRU", "recurrent"),
        ("Softmax", "other"),
        ("Unheard", "other"),
    ],
)
def test_kinds(op_type: str, kind: str) -> None:
    assert kind_of(op_type) == kind
    assert kind in KINDS


def test_titles() -> None:
    def title(**attributes: object) -> str:
        return title_of(Node("Conv", "n", [], [], [Attribute(k, v) for k, v in attributes.items()]))  # type: ignore[arg-type]

    assert title(kernel_shape=[3, 3], strides=[2, 2], group=8, activation="Relu") == "Conv 3×3 /2 dw Relu"
    assert title(kernel_shape=[1, 1], strides=[1, 1], group=1, activation="Linear") == "Conv 1×1"
    assert title(kernel_shape=[3, 5], strides=[2, 1]) == "Conv 3×5 /2×1"
    assert title(kernel_shape="odd", strides=3, group="x", activation=[]) == "Conv"
