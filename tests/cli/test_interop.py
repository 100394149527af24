"""``espdl interop``: what it prints and how it exits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from espdl.fbs import wrap_model, write_model
from tests.cli.conftest import Command
from tests.models import small_file, small_records


def test_the_command_says_which_rule_is_broken(espdl: Command, tmp_path: Path) -> None:
    whole, broken = tmp_path / "a.espdl", tmp_path / "b.espdl"
    whole.write_bytes(small_file("esp32s3", metadata=True))
    model = small_records("esp32s3", metadata=True)
    model.graph.initializer[1] = replace(model.graph.initializer[1], exponents=(-12,))
    broken.write_bytes(wrap_model(write_model(model)))
    assert espdl("interop", whole).code == 0
    both = espdl("interop", tmp_path)
    assert both.code == 1
    assert "PASS" in both.out
    assert "FAIL" in both.out
    assert "bias (runtime 1.5)" in both.out
    assert [file["passes"] for file in espdl("interop", tmp_path, "--json").json["files"]] == [True, False]


def test_an_empty_folder_proves_nothing(espdl: Command, tmp_path: Path) -> None:
    result = espdl("interop", tmp_path)
    assert result.code == 1
    assert "there is no .espdl file in it" in result.err
