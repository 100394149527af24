"""The float network run as a whole and in pieces."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from espdl.chips import get_chip
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.pipeline import prepare
from tests.quantize.graphs import network, op, weights


@pytest.fixture
def model() -> ir.Model:
    """Three layers, the first added to the third."""
    constants = {f"w{i}": weights(4, 4, 3, 3, seed=i) for i in range(3)} | {f"b{i}": weights(4, seed=9 + i) for i in range(3)}
    nodes = []
    for i, source in enumerate(["x", "r0", "r1"]):
        nodes += [op("Conv", f"{source} w{i} b{i}", f"c{i}", pads=[1, 1, 1, 1]), op("Relu", f"c{i}", f"r{i}")]
    nodes.append(op("Add", "r2 r0", "y"))
    return prepare(load_network(network(nodes, {"x": [1, 4, 6, 6]}, constants)), get_chip("esp32s3"))


WANTED = ["x", "r0", "r1", "r2", "y"]


@pytest.mark.parametrize(("piece", "count"), [(1, 4), (4000, 2), (1 << 20, 1)])
def test_pieces_compute_what_the_whole_does(model: ir.Model, piece: int, count: int) -> None:
    feeds = {"x": weights(1, 4, 6, 6, seed=5)}
    whole = FloatRun(model, WANTED).run(feeds)
    shown = list(FloatRun(model, WANTED, piece=piece).pieces(feeds))
    assert len(shown) == 1 + count and list(shown[0]) == ["x"]
    found = {name: array for some in shown for name, array in some.items()}
    assert sorted(found) == sorted(WANTED)
    for name in WANTED:
        np.testing.assert_array_equal(found[name], whole[name])


def test_cuts_only_where_all_that_goes_on_is_wanted(model: ir.Model) -> None:
    feeds = {"x": weights(1, 4, 6, 6, seed=5)}
    assert len(list(FloatRun(model, ["r1", "y"], piece=1).pieces(feeds))) == 1, "r0 goes on to the end, and is not asked for"
    assert [list(some) for some in FloatRun(model, ["r0", "y"], piece=1).pieces(feeds)] == [["r0"], ["y"]]
