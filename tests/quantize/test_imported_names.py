"""Layers and constants of a prepared network are called as in the network that users brought."""

from __future__ import annotations

import pytest

from espdl.chips import get_chip
from espdl.quantize.imported_names import imported_names, module_path, remember_names
from espdl.quantize.importer import load_network
from espdl.quantize.pipeline import prepare
from tests.quantize.graphs import network, op, weights


@pytest.mark.parametrize(
    ("layer", "path"),
    [
        ("/stem/stem.0/Conv", "stem.0"),
        ("/layer1/layer1.0/conv1/Conv_1", "layer1.0.conv1"),
        ("/Relu", "Relu"),
        ("block1_conv2", "block1_conv2"),
        ("a/b", "a/b"),
    ],
)
def test_a_module_by_the_node_that_its_export_makes(layer: str, path: str) -> None:
    assert module_path(layer) == path


def test_what_passes_make_is_called_after_what_it_stands_for() -> None:
    nodes = [
        op("ConvTranspose", "x k", "t", strides=[2, 2]),
        op("GlobalAveragePool", "t", "p"),
        op("Flatten", "p", "f"),
        op("MatMul", "f w", "m"),
        op("Add", "m b", "y"),
    ]
    imported = load_network(network(nodes, {"x": (1, 4, 4, 4)}, {"k": weights(4, 3, 2, 2), "w": weights(3, 5), "b": weights(5)}))
    prepared = prepare(imported, get_chip("esp32s3"))
    remember_names(imported, prepared)
    names = imported_names(prepared.clone())
    layers = {names.layer(node.name or "") for node in prepared.graph}
    assert layers <= {node.name for node in imported.graph}
    found = {
        names.constant(value.name or "", node, index)
        for node in prepared.graph
        for index, value in enumerate(node.inputs)
        if index and value is not None and value.const_value is not None and node.op_type in ("Conv", "Gemm")
    }
    assert found == {"ConvTranspose_t.weight", "w", "b"}


def test_without_a_network_that_was_imported_names_stay() -> None:
    prepared = prepare(load_network(network([op("Relu", "x", "y")], {"x": (1, 4)})), get_chip("esp32s3"))
    assert imported_names(prepared).layer("anything") == "anything"
