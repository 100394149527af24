"""Progress appears on a terminal, late, and only once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from espdl.progress import stage, track
from tests.conftest import ROOT

CODE = """
import sys, time
from espdl.progress import stage, track
seconds = float(sys.argv[1])
with stage("outer work") as say:
    time.sleep(seconds)
    say("changed work")
    for number in track(range(2), "inner work", 2):
        time.sleep(seconds)
    for number in track(range(3), "early end"):
        break
print("done")
"""


def test_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with stage("work") as say:
        say("more work")
        assert list(track(iter("abc"), "inner")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("seconds", "shown"), [("0.02", False), ("0.6", True)])
def test_on_a_terminal(tmp_path: Path, seconds: str, shown: bool) -> None:
    import pty

    script = tmp_path / "work.py"
    script.write_text(CODE)
    outside, inside = pty.openpty()
    environment = {"PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, script, seconds], stdout=subprocess.PIPE, stderr=inside, env=environment) as process:
        os.close(inside)
        assert process.stdout is not None
        assert process.stdout.read() == b"done\n", "standard output holds results only"
    try:
        text = os.read(outside, 1 << 20).decode()
    except OSError:  # the other end is closed and nothing was written
        text = ""
    os.close(outside)
    assert ("inner work" in text) is shown
    assert ("changed work" in text) is shown
