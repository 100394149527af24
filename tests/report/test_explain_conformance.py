"""Files with test values of the exporter's simulation, as dumps: where they differ from the run, it is binary32, and that is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.report.explain import Side, Value, explain, run_side
from espdl.report.explain.sides import embedded_inputs

KNOWN = {"float-last-place", "float-accumulation", "quirk"}


@pytest.mark.slow
def test_the_simulation_differs_by_binary32_only(conformance: Path) -> None:
    compared, differing, unexplained = 0, 0, 0
    for path in sorted((conformance / "ops").glob("*/*/*.espdl"))[::5]:
        try:
            model = Model(path, target=path.parts[-3], arithmetic="reference")
            first = run_side("run", model, embedded_inputs(model))
        except (EspdlError, KeyError):
            continue
        told = {}
        for name in model.fbs_model.get_test_outputs_name():
            tensor = model.fbs_model.get_test_output_tensor(name)
            assert tensor is not None
            told[name] = Value(name, tensor.dtype, tensor.data, first.values[name].exponent)
        found = explain(first, Side("simulation", told), most=1)
        compared += 1
        differing += not found.equal
        unexplained += any(divergence.cause.id not in KNOWN for divergence in found.divergences)
    assert compared > 300
    assert differing > 30
    assert unexplained <= differing * 0.05
