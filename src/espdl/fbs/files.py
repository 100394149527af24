"""Files on disk: read through a memory map, written as a whole or not at all."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from espdl.errors import EspdlError

_SUFFIX = ".tmp"


def open_mapped(path: str | Path) -> memoryview:
    """The bytes of a file as a read-only memory map, which lives as long as something refers to it.

    Raises:
        EspdlError: when there is no such file, it cannot be read, is empty or is not a regular file.
    """
    try:
        # not blocking: opening a pipe that nobody writes to would wait for ever
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise EspdlError("this is not a file", where=str(path))
            if not status.st_size:
                raise EspdlError("the file is empty", where=str(path))
            return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise EspdlError("the file cannot be read", where=str(path), why=_reason(error)) from None


def write_atomically(path: str | Path, data: bytes | bytearray | memoryview | str | Iterable[str]) -> None:
    """Writes a file as a whole: after a failure, or a kill, at any moment the old file (or none) is there.

    Args:
        path: of the file; the directory must exist. Of a symbolic link the target is replaced.
        data: its content; text, whole or in pieces, is written as UTF-8.

    Raises:
        EspdlError: when it cannot be written. The old file is whole and no temporary file remains.
    """
    pieces = (data,) if isinstance(data, (bytes, bytearray, memoryview, str)) else data
    temporary = ""
    try:
        target = Path(os.path.realpath(path))
        require_writable(path)
        remove_leftovers(target)
        descriptor, temporary = tempfile.mkstemp(prefix=_prefix(target), suffix=_SUFFIX, dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece.encode() if isinstance(piece, str) else piece)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
        temporary = ""
        _sync_directory(target.parent)
    except (OSError, ValueError) as error:
        raise EspdlError("the file cannot be written", where=str(path), why=_reason(error)) from None
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)


def require_writable(path: str | Path, keep: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Raises :class:`EspdlError` for a place where there is something that is not a file, or one of the files ``keep``."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise EspdlError("the file cannot be written", where=str(path), why="there is something that is not a file")
    if os.path.realpath(path) in map(os.path.realpath, keep):
        raise EspdlError("this file is read, so it cannot be written", where=str(path), hint="choose another output")


def staging_directory(target: Path) -> tempfile.TemporaryDirectory[str]:
    """A new directory beside ``target``, for what shall take its place; as a context, it is gone at the end."""
    remove_leftovers(target)
    return tempfile.TemporaryDirectory(prefix=_prefix(target), suffix=_SUFFIX, dir=target.parent)


def remove_leftovers(target: Path) -> None:
    """Removes what processes that were killed while they wrote ``target`` have left beside it."""
    if os.name != "posix":  # elsewhere there is no harmless way to ask whether a process lives
        return
    pattern = re.compile(re.escape(_start(target)) + r"(\d{1,9})\.\w{8}" + re.escape(_SUFFIX))
    with suppress(OSError):
        for entry in list(os.scandir(target.parent)):
            found = pattern.fullmatch(entry.name)
            if found is None or _alive(int(found[1])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)


def _start(target: Path) -> str:
    return f".{target.name[:64]}."


def _prefix(target: Path) -> str:
    return f"{_start(target)}{os.getpid()}."


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it lives, as somebody else's
    return True


def _mode(target: Path) -> int:
    """Permissions of the file that is replaced, or those a new file gets."""
    with suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_directory(directory: Path) -> None:
    """Makes the rename itself durable, where the system can."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
