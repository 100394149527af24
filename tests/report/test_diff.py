"""``diff``: what differs between two files, and only that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from espdl.dtypes import DType
from espdl.fbs import records
from espdl.report.diff import FileDiff, diff_files, diff_lines
from tests.models import node_file, small_file
from tests.report.planted import edited


def compared(tmp_path: Path, one: bytes, two: bytes) -> FileDiff:
    paths = tmp_path / "a.espdl", tmp_path / "b.espdl"
    for path, data in zip(paths, (one, two), strict=True):
        path.write_bytes(data)
    return diff_files(*paths)


PLAIN = edited("esp32s3", lambda model: None)


def test_a_file_equals_itself(tmp_path: Path) -> None:
    found = compared(tmp_path, PLAIN, PLAIN)
    assert found.equal
    assert found.same_bytes
    assert diff_lines(found)[-1] == "equal, byte by byte"


def test_one_weight(tmp_path: Path) -> None:
    def edit(model: records.Model) -> None:
        tensor = model.graph.initializer[0]
        tensor.data = tensor.data.copy()
        tensor.data.reshape(-1)[17] ^= 3

    found = compared(tmp_path, PLAIN, edited("esp32s3", edit))
    (change,) = found.constants
    assert (change.name, change.kind, change.differing, change.size) == ("conv.weight", "weight", 1, 540)
    assert change.largest in (1 / 64, 2 / 64, 3 / 64)  # exponent -6
    assert not (found.changed_nodes or found.tensors or found.metadata)


def test_the_packing_is_told_apart_from_the_weights(tmp_path: Path) -> None:
    found = compared(tmp_path, PLAIN, edited("c", lambda model: None))
    assert [(c.name, c.differing, c.largest) for c in found.constants] == [("conv.weight", 0, 0.0), ("fc.weight", 0, 0.0)]
    assert any("packing (N/16)HWC16_UNALIGNED -> NHWC" in line for line in diff_lines(found))


def test_exponents(tmp_path: Path) -> None:
    def edit(model: records.Model) -> None:
        graph = model.graph
        graph.value_info = [replace(v, exponents=(-3,)) if v.name == "a" else v for v in graph.value_info]
        graph.initializer[2] = replace(graph.initializer[2], exponents=(-6,))

    found = compared(tmp_path, PLAIN, edited("esp32s3", edit))
    assert [(c.name, c.what, c.before, c.after) for c in found.tensors] == [("a", "exponent", "-4", "-3")]
    (change,) = found.constants
    assert (change.what, change.differing) == (("exponent -7 -> -6",), 0)


def _removed(model: records.Model) -> None:
    del model.graph.node[1]
    model.graph.node[1].input = ["c"]


def _attribute(model: records.Model) -> None:
    model.graph.node[0].attribute[0] = records.Attribute("activation", "Linear")


def _reordered(model: records.Model) -> None:
    node = records.Node("Add", "/other", ["c", "c"], ["o"], [records.Attribute("quant_type", "S8")])
    model.graph.value_info.append(records.ValueInfo("o", DType.INT8, (1, 6, 6, 20), (-4,)))
    model.graph.node.insert(1, node)


def _renamed(model: records.Model) -> None:
    for node in model.graph.node:
        node.name = f"model{node.name}"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (_removed, ["removed nodes: 1", "  - Add '/add'", "changed nodes: 1", "  - '/pool': reads a -> c"]),
        (_attribute, ["changed nodes: 1", "  - '/conv': activation Relu -> Linear"]),
        (_reordered, ["added nodes: 1", "  - Add '/other'"]),
        (_renamed, ["renamed: 5", "  - '/conv' -> 'model/conv'"]),
    ],
)
def test_structure(tmp_path: Path, edit: Callable[[records.Model], None], expected: list[str]) -> None:
    found = compared(tmp_path, PLAIN, edited("esp32s3", edit))
    assert not found.equal
    assert diff_lines(found)[1 : 1 + len(expected)] == expected


def test_nodes_and_tensors_of_other_names_are_the_same_nodes(tmp_path: Path) -> None:
    def edit(model: records.Model) -> None:
        _renamed(model)
        graph = model.graph
        for node in graph.node:
            node.input = [f"m.{name}" for name in node.input]
            node.output = [f"m.{name}" for name in node.output]
        graph.initializer = [replace(tensor, name=f"m.{tensor.name}") for tensor in graph.initializer]
        graph.input, graph.output, graph.value_info = (
            [replace(v, name=f"m.{v.name}") for v in values] for values in (graph.input, graph.output, graph.value_info)
        )

    found = compared(tmp_path, PLAIN, edited("esp32s3", edit))
    assert not (found.removed_nodes or found.added_nodes or found.changed_nodes or found.tensors or found.constants)
    assert not (found.removed_constants or found.added_constants)
    assert found.renamed["conv.weight"] == "m.conv.weight"


def test_tables_test_values_and_metadata(tmp_path: Path) -> None:
    table = np.arange(-128, 128).astype(np.int8)
    other = table.copy()
    other[5] = 0
    files = [node_file("LUT", [((4,), np.int8, 0)], [((4,), np.int8, 0)], lut=t) for t in (table, other)]
    (change,) = compared(tmp_path, *files).constants
    assert (change.kind, change.what) == ("table", ("1 of 256 values",))

    found = compared(tmp_path, PLAIN, small_file("esp32s3", metadata=True))
    assert found.test_values == ("input 'x' is in the second file only", "output 'y' is in the second file only")
    assert found.metadata == (("metadata target", "", "esp32s3"),)
    assert not found.same_bytes
