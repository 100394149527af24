"""``ESPDL_OPERATORS``: files with operators of the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from espdl.dl.module import MODULE_TYPES
from tests.cli.conftest import Command
from tests.pages import operators_forgotten

OPERATOR = """
from espdl import Module

class Twice(Module, op_type="TwiceOfThisTest"):
    def get_output_shape(self, input_shapes):
        return [input_shapes[0]]
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with operators_forgotten():
        yield


def test_files_are_run_once_before_the_verb(espdl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text(OPERATOR)
    two.write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('x')")
    monkeypatch.setenv("ESPDL_OPERATORS", os.pathsep.join(map(str, (one, two))))
    for _ in range(2):
        assert espdl("doctor").code in (0, 1)
    assert "TwiceOfThisTest" in MODULE_TYPES
    assert (tmp_path / "ran").read_text() == "x"


def test_files_that_fail_are_named(espdl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    for path, words in ((broken, "ZeroDivisionError"), (tmp_path / "none.py", "no such file")):
        monkeypatch.setenv("ESPDL_OPERATORS", str(path))
        result = espdl("doctor")
        assert result.code == 1
        assert words in result.err and path.name in result.err
