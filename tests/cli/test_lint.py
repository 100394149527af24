"""``espdl lint``: what it prints and how it exits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from espdl.fbs import wrap_model, write_model
from tests.cli.conftest import Command
from tests.models import small_file, small_records


def test_lint(espdl: Command, tmp_path: Path) -> None:
    model, data = tmp_path / "small.espdl", tmp_path / "data.npz"
    model.write_bytes(small_file("esp32s3", metadata=True))
    np.savez(data, x=np.zeros((3, 6, 6, 3), np.int8))
    found = espdl("lint", model, "--data", data)
    assert found.code == 0
    assert "costs: " in found.out
    assert "try: " in found.out
    assert found.out.splitlines()[-1].startswith("small.espdl: 0 errors")
    assert espdl("lint", model, "--fail-on", "hint").code == 1
    listed = espdl("lint", model, "--json").json["findings"]
    assert {finding["severity"] for finding in listed} <= {"hint", "warning", "error"}


def test_what_is_wrong_fails(espdl: Command, tmp_path: Path) -> None:
    broken = small_records("esp32s3", metadata=True)
    broken.graph.value_info[1] = replace(broken.graph.value_info[1], exponents=(-15,))
    model = tmp_path / "broken.espdl"
    model.write_bytes(wrap_model(write_model(broken)))
    found = espdl("lint", model)
    assert found.code == 1
    assert "error: left-shift at '/conv'" in found.out
