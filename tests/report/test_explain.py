"""``explain`` finds every planted difference: node, tensor, element and cause."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from espdl.errors import EspdlError
from espdl.fbs import wrap_model, write_model
from espdl.report.explain import CAUSES, Side, explain
from espdl.report.explain.text import explanation_lines
from tests.models import small_file
from tests.report.planted import PLANTED, Planted, dump, gemm, lane_saturation, rounding_of_sums, run, small_model_of


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_the_planted_cause_is_found(plant: Callable[[], Planted]) -> None:
    planted = plant()
    found = explain(planted.first, planted.second)
    assert not found.equal
    first = found.divergences[0]
    assert (first.cause.id, first.node, first.tensor) == (planted.cause, planted.node, planted.tensor)
    mine, theirs = planted.first.values[first.tensor], planted.second.values[first.tensor]
    differing = np.argwhere(mine.real != theirs.real.reshape(mine.shape))
    assert first.index == (tuple(differing[0]) if planted.index is None else planted.index)
    assert first.differing == len(differing)
    assert first.first == mine.data[first.index]
    if mine.shape == theirs.shape:
        assert first.second == theirs.data[first.index]
    assert first.cause.id in CAUSES
    assert any(planted.cause in line for line in explanation_lines(found))


def test_there_are_enough_of_them() -> None:
    assert len(PLANTED) >= 20
    assert {plant().cause for plant in PLANTED} >= set(CAUSES) - {"vector-unit", "quirk"}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_run_equals_itself(plant: Callable[[], Planted]) -> None:
    first = plant().first
    for second in (first, dump(first)):
        found = explain(first, second)
        assert found.equal
        assert not found.divergences
        assert explanation_lines(found)[-1] == f"equal: all {len(first.values)} tensors"


def test_what_follows_is_told_apart_from_what_does_not() -> None:
    data = small_file("esp32s3")
    first = run(data, "esp32s3")
    changed = first.values["c"].data.copy()
    changed[0, 0, 0, 0] += 40
    again = run(data, "esp32s3")
    follows = {}
    from espdl.dl import Model
    from espdl.report.explain.sides import forced_run

    for _, _, computed in forced_run(Model(data, target="esp32s3"), dict(again.inputs or {}), {"c": changed}):
        follows |= computed
    follows["c"] = changed
    found = explain(first, dump(first, **follows))
    assert [d.node for d in found.divergences] == ["/conv"]
    assert found.because_of_first == found.differing - 1 > 0

    follows["y"] = follows["y"].copy()
    follows["y"][0, 4] ^= 1
    found = explain(first, dump(first, **follows))
    assert [d.node for d in found.divergences] == ["/conv", "/fc"]
    assert found.because_of_first == found.differing - 2


def test_the_numbers_of_a_sum() -> None:
    planted = lane_saturation()
    numbers = explain(planted.first, planted.second).divergences[0].numbers
    assert numbers["sum"] == 60 * 12700 - 4 * 12800
    assert numbers["partial_sums"] == [0, 762000]
    assert numbers["lanes"] == {"bits": 20, "low": -524288, "high": 524287, "sum": 524287 - 4 * 12800}
    assert numbers["shift"] == 16
    assert (numbers["quotient"], numbers["remainder"]) == divmod(numbers["sum"], 1 << 16)

    planted = rounding_of_sums()
    found = explain(planted.first, planted.second).divergences[0]
    assert found.numbers["remainder"] == found.numbers["half"]
    assert (found.numbers["half_up"], found.numbers["half_even"]) == (found.first, found.second)
    assert found.onnx_index == (found.index[0], found.index[3], *found.index[1:3])


def test_a_dump_of_few_tensors_names_the_nodes_in_between() -> None:
    data = small_file("esp32s3")
    first, other = run(data, "esp32s3"), run(data, "esp32p4")
    told = {name: other.values[name] for name in ("x", "a")}
    (found,) = explain(first, Side("dump", told)).divergences
    assert (found.node, found.between, found.cause.id) == ("/add", ("/conv",), "rounding")
    assert "'/conv'" in found.cause.evidence


def test_two_dumps_cannot_be_explained() -> None:
    side = dump(run(small_file("esp32s3"), "esp32s3"))
    with pytest.raises(EspdlError, match="two dumps"):
        explain(side, side)
    with pytest.raises(EspdlError, match="no tensor in common"):
        explain(run(small_file("esp32s3"), "esp32s3"), Side("dump", {"z": side.values["y"]}))


def test_both_backends_explain_alike() -> None:
    data = small_file("esp32s3")
    found = [explain(run(data, "esp32s3", backend=b), run(data, "esp32p4", backend=b)) for b in ("numpy", "native")]
    assert found[0] == found[1]
    assert np.isfinite(found[0].divergences[0].largest)


def test_a_rule_is_tried_at_every_node() -> None:
    planted = rounding_of_sums()
    assert explain(planted.first, planted.second).equal_with_rule == len(planted.first.values)
    assert explain(planted.first, dump(planted.first, y=planted.first.values["y"].data ^ 64)).equal_with_rule is None


def test_a_rule_is_tried_on_files_that_name_their_chip() -> None:
    data = gemm(np.full((16, 64), 100), np.zeros(16), "esp32s3", (1, 64), 16)
    model = small_model_of(data)
    model.metadata_props["target"] = "esp32s3"
    data = wrap_model(write_model(model))
    x = {"x": np.full((1, 64), 127, np.int8)}
    found = explain(run(data, "esp32s3", x, arithmetic="reference"), run(data, "esp32s3", x))
    assert (found.divergences[0].cause.id, found.equal_with_rule) == ("lane-saturation", 2)


def test_behind_a_tensor_in_another_order_nodes_are_judged() -> None:
    first = run(small_file("esp32s3"), "esp32s3")
    turned = np.ascontiguousarray(first.values["c"].data.transpose(0, 3, 1, 2)).reshape(1, 20, 6, 6)
    only = explain(first, dump(first, c=turned))
    assert [d.cause.id for d in only.divergences] == ["layout"]
    assert not only.unjudged
    last = first.values["y"].data.copy()
    last[0, 2] ^= 1
    both = explain(first, dump(first, c=turned, y=last))
    assert [(d.node, d.cause.id) for d in both.divergences] == [("/conv", "layout"), ("/fc", "unexplained")]
