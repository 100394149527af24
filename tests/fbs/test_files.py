"""Files are written as a whole or not at all, and read through a memory map."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from espdl.errors import EspdlError
from espdl.fbs import open_mapped, write_atomically


def test_written_and_mapped(tmp_path: Path) -> None:
    path = tmp_path / "model.espdl"
    write_atomically(path, b"first")
    view = open_mapped(path)
    assert view.readonly
    assert bytes(view) == b"first"
    write_atomically(str(path), "zweite ä")
    assert path.read_text(encoding="utf-8") == "zweite ä"
    assert bytes(view) == b"first"
    assert os.listdir(tmp_path) == ["model.espdl"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "model.espdl"
    old = os.umask(0o027)
    try:
        write_atomically(path, b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    write_atomically(path, b"y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
def test_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    path = tmp_path / "model.espdl"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(EspdlError, match=r"model\.espdl: the file cannot be written \(No space left on device\)"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.espdl"]


def test_interrupt_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.espdl"
    path.write_bytes(b"old")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.espdl"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_kill_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.espdl"
    path.write_bytes(b"old")
    script = (
        "import os, sys, time; from espdl.fbs.files import write_atomically\n"
        "os.fsync = lambda _: (print('written', flush=True), time.sleep(60))\n"
        "write_atomically(sys.argv[1], b'new' * 1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["missing/model.espdl", "bad\0name"])
def test_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(EspdlError, match="the file cannot be written"):
        write_atomically(tmp_path / name, b"x")


def test_only_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    for place in (tmp_path / "directory", os.devnull):
        with pytest.raises(EspdlError, match="there is something that is not a file"):
            write_atomically(place, b"x")


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EspdlError, match=r"nothing: the file cannot be read \(No such file or directory\)"):
        open_mapped(tmp_path / "nothing")
    with pytest.raises(EspdlError, match=r"this is not a file|cannot be read"):
        open_mapped(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(EspdlError, match="empty: the file is empty"):
        open_mapped(tmp_path / "empty")
    with pytest.raises(EspdlError, match="cannot be read"):
        open_mapped(str(tmp_path / "bad\0name"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    started = time.perf_counter()
    with pytest.raises(EspdlError, match="this is not a file"):
        open_mapped(tmp_path / "pipe")
    assert time.perf_counter() - started < 5


@pytest.mark.skipif(os.name != "posix", reason="asks whether processes live")
def test_what_killed_processes_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    kept = [f".model.espdl.{os.getpid()}.abcd1234.tmp", f".model.espdl.{gone.pid}.tmp", f".other.{gone.pid}.abcd1234.tmp"]
    for name in [*kept, f".model.espdl.{gone.pid}.abcd1234.tmp"]:
        (tmp_path / name).write_bytes(b"half")
    directory = tmp_path / f".model.espdl.{gone.pid}.ab_d1234.tmp"
    directory.mkdir()
    (directory / "model.espdl").write_bytes(b"half")
    write_atomically(tmp_path / "model.espdl", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"model.espdl", *kept}
