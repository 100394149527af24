"""``benchmarks/latency/workloads.json`` is what the script makes of the models."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.estimate.latency_fit import script


def test_the_kept_workloads_are_those_of_the_files(conformance: Path) -> None:
    workloads = script("workloads")
    found = {name: workloads.to_entries(works) for name, (_, works) in workloads.build(conformance / "models").items()}
    assert found == {name: workloads.to_entries(works) for name, works in workloads.load().items()}


def test_attention_grows_with_the_square_of_the_pixels(conformance: Path) -> None:
    """A network at half the size, scaled, has the products that the published one has, as far as the file tells."""
    workloads = script("workloads")
    kept = workloads.load()["yolo11n_640"]
    scores = [product for work in kept for product in work.products if not product.constant]
    assert {(product.pixels, product.depth, product.outputs) for product in scores} == {(400.0, 32, 400), (64.0, 400, 400)}
    assert sum(work.elements.real for work in kept) == pytest.approx(2 * 400 * 400)


def test_mobilefacenet_has_the_published_size() -> None:
    """0.90 GFLOP (runtime spec 10): two for each product."""
    macs = sum(work.macs for work in script("workloads").mobilefacenet())
    assert 2 * macs / 1e9 == pytest.approx(0.9, abs=0.05)
