"""Files on disk: read through a memory map, written as a whole or not at all."""

from __future__ import annotations

import mmap
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from espdl.errors import EspdlError


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


def write_atomically(path: str | Path, data: bytes | bytearray | memoryview | str) -> None:
    """Writes a file as a whole: after a failure, or a kill, at any moment the old file (or none) is there.

    Args:
        path: of the file; the directory must exist. Of a symbolic link the target is replaced.
        data: its content; text is written as UTF-8.

    Raises:
        EspdlError: when it cannot be written. The old file is whole and no temporary file remains.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = ""
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise EspdlError("the file cannot be written", where=str(path), why="there is something that is not a file")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:64]}.", suffix=".tmp", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
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
