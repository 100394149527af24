"""Random networks of all operators: a run equals itself, and a rule that is changed for the whole run is found at the first node."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.report.explain import Side, explain, run_side
from espdl.report.explain.text import explanation_lines
from tests.dl.test_random_graphs import draw

OPTIONS: tuple[dict[str, Any], ...] = ({"arithmetic": "reference"}, {"strict_onnx": True}, {"int16_lut": "interpolating"})


@pytest.mark.parametrize("seed", range(40))
def test_drawn_networks(seed: int) -> None:
    drawn = draw(Random(seed), 1 + seed % 6)
    data, feeds = drawn.file(), drawn.feeds()
    try:
        first = run_side("first", Model(data), feeds)
    except EspdlError:
        return
    assert explain(first, first).equal
    assert explain(first, Side("dump", first.values)).equal
    for options in OPTIONS:
        try:
            second = run_side("second", Model(data, **options), feeds)
        except EspdlError:
            continue
        for other in (second, Side("dump", second.values)):
            found = explain(first, other)
            assert found.equal == (not found.divergences)
            for divergence in found.divergences:
                assert divergence.cause.certain
                assert divergence.cause.id in (
                    "quirk",
                    "lut-rule",
                    "vector-unit",
                    "lane-saturation",
                    "bias-wrap",
                    "requantize-overflow",
                )
            assert explanation_lines(found)


def test_some_of_them_differ() -> None:
    """The networks above are worth their time."""
    causes = set()
    for seed in range(40):
        drawn = draw(Random(seed), 1 + seed % 6)
        data, feeds = drawn.file(), drawn.feeds()
        try:
            first, second = run_side("", Model(data), feeds), run_side("", Model(data, strict_onnx=True), feeds)
        except EspdlError:
            continue
        causes |= {divergence.cause.id for divergence in explain(first, second).divergences}
    assert causes == {"quirk"}
