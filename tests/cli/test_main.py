"""What all verbs share: help, exit codes, errors in plain words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from espdl.cli import VERBS, main
from espdl.errors import EspdlError
from tests.cli.conftest import Command
from tests.conftest import ROOT


def test_help_lists_the_verbs(espdl: Command) -> None:
    result = espdl("--help")
    assert result.code == 0
    for verb in VERBS:
        assert verb in result.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(espdl: Command, verb: str) -> None:
    result = espdl(verb, "--help")
    assert result.code == 0
    assert f"Example: espdl {verb}" in result.out
    assert max(map(len, result.out.splitlines())) <= 100


def test_no_verb_prints_help(espdl: Command) -> None:
    assert "From a network to a file" in espdl().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tset"], 'Did you mean "test"?'),
        (["test"], "MODEL"),
        (["test", "--wrong"], "--wrong"),
        (["test", "nowhere.espdl"], "does not exist"),
        (["inspect", __file__, "--target", "esp8266"], "esp32s3"),
        (["run", __file__], "--inputs"),
        (["run", __file__, "--inputs", __file__, "--outputs", "o.npz", "--arithmetic", "exact"], "silicon"),
        (["run", __file__, "--inputs", __file__, "--outputs", "o.npz", "--backend", "cuda"], "numpy"),
        (["profile", __file__, "--max-internal-size", "-1"], ">= 0"),
        (["quantize", __file__, "-o", "x.espdl", "--target", "c", "--calib", "x.npy", "--bits", "4"], "--bits"),
        (["check", __file__, "--target", "c", "--input-shape", "1x2"], "NAME=1,3,224,224"),
    ],
)
def test_wrong_usage_is_2_and_names_the_mistake(espdl: Command, arguments: list[str], text: str) -> None:
    result = espdl(*arguments)
    assert result.code == 2
    assert text in result.err
    assert "--help" in result.err
    assert result.out == ""


@pytest.mark.parametrize("content", [b"", b"EDL2", b"not a model", b"EDL2" + bytes(60)], ids=["empty", "cut", "text", "zeros"])
@pytest.mark.parametrize("verb", ["inspect", "test", "profile"])
def test_a_bad_file_is_1(espdl: Command, tmp_path: Path, verb: str, content: bytes) -> None:
    path = tmp_path / "bad.espdl"
    path.write_bytes(content)
    result = espdl(verb, path)
    assert result.code == 1
    assert "bad.espdl" in result.err + result.out


def raise_unexpected(*_: object, **__: object) -> None:
    raise KeyError("something")


def raise_expected(*_: object, **__: object) -> None:
    raise EspdlError("it failed", where="here", hint="that")


def test_unexpected_errors_are_short_unless_debugging(espdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("espdl.report.environment.examine", raise_unexpected)
    result = espdl("doctor")
    assert result.code == 1
    assert "KeyError" in result.err
    assert "ESPDL_DEBUG=1" in result.err
    monkeypatch.setenv("ESPDL_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["doctor"])


def test_expected_errors_show_their_place_when_debugging(espdl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("espdl.report.environment.examine", raise_expected)
    assert espdl("doctor").err == "espdl: here: it failed\n  try: that\n"
    monkeypatch.setenv("ESPDL_DEBUG", "1")
    with pytest.raises(EspdlError):
        main(["doctor"])


def test_module_can_be_run(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "espdl", "test", str(tmp_path / "none.espdl")]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "src")}, check=False)
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr, "no colour when piped"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no broken pipes")
def test_a_reader_that_has_gone_is_no_disaster() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "espdl", "doctor", "--json"]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


def test_closed_output(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["inspect", str(digits)]) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_knows_every_verb(espdl: Command, shell: str) -> None:
    script = espdl("completion", shell).out
    assert all(verb in script for verb in VERBS)
    assert "max-internal-size" in script
