"""Room in outputs: taken where it costs next to nothing, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from espdl.quantize.graph import QuantGraph
from tests.quantize.graphs import network, op, weights
from tests.quantize.train.networks import IMAGE, quantized
from tests.quantize.unequal import unequal

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'espdl[torch]'")
pytestmark = pytest.mark.torch


def raised(graph: QuantGraph, error: float = 1e9, largest: float = 1.0, room: float = 2.0, fixed: Any = ()) -> int:
    """By how much the exponent of output ``y`` grows, where all of its range was met."""
    from espdl.quantize.train.executor import QuantExecutor
    from espdl.quantize.train.room import give_room

    executor = QuantExecutor(graph)
    info = graph.produced["y"]
    met = largest * 127 * 2.0**info.exponent
    changed = give_room(executor, room, ["y"], fixed, lambda name: met, lambda name: error * 4.0**info.exponent)
    moved: int = executor.scales.of(info).exponents[0] - info.exponent
    assert changed == (moved > 0)
    return moved


@pytest.fixture(scope="module")
def classifier() -> QuantGraph:
    return quantized(unequal(gemm=True)).graph


def test_as_much_as_is_asked_for(classifier: QuantGraph) -> None:
    assert raised(classifier) == 1
    assert raised(classifier, room=1.0) == 0
    assert raised(classifier, room=4.0) == 2
    assert raised(classifier, largest=0.5) == 0


def test_no_more_than_a_tenth_of_the_error_is_added(classifier: QuantGraph) -> None:
    # One exponent more makes the square of rounding's error, a twelfth of the step's, four times as large.
    assert raised(classifier, error=10 * 3 / 12 * 1.01) == 1
    assert raised(classifier, error=10 * 3 / 12 * 0.99) == 0
    assert raised(classifier, error=10 * 3 / 12 * 1.01, room=100.0) == 1


def test_what_was_set_by_hand_stays(classifier: QuantGraph) -> None:
    assert raised(classifier, fixed={id(classifier.produced["y"].root)}) == 0


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([op("Conv", "x k", "c", kernel_shape=[1, 1]), op("Sigmoid", "c", "y")], "y"),
        ([op("Conv", "x k", "y", kernel_shape=[1, 1]), op("Relu", "y", "z")], "y z"),
    ],
    ids=["a function that ends somewhere", "read by another layer"],
)
def test_others_have_none(nodes: Any, outputs: str) -> None:
    proto = network(nodes, {"x": IMAGE}, {"k": weights(4, 4, 1, 1)}, outputs=outputs)
    assert raised(quantized(proto).graph) == 0


def test_behind_operators_that_only_move_values() -> None:
    nodes = [op("Conv", "x k", "c", kernel_shape=[1, 1]), op("Flatten", "c", "y")]
    assert raised(quantized(network(nodes, {"x": IMAGE}, {"k": weights(4, 4, 1, 1)})).graph) == 1
