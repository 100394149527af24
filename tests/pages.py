"""Runs the code of a documentation page, block by block, as a reader would who types it in.

Blocks of ``python`` share one namespace. Lines of ``sh`` are calls of ``espdl``, with environment variables in front of them perhaps; one
that ends in ``|| true`` must exit with 1. A block of ``text`` behind either is what they print; widths of columns do not count. Others
are not run.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from espdl.cli import main
from espdl.dl.module import MODULE_TYPES

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page where the text begins."""

    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    return [Block(m[1], m[2], page.count("\n", 0, m.start()) + 2) for m in _FENCE.finditer(page)]


@contextlib.contextmanager
def operators_forgotten() -> Iterator[None]:
    """Forgets what is defined inside."""
    before = dict(MODULE_TYPES)
    try:
        yield
    finally:
        MODULE_TYPES.clear()
        MODULE_TYPES.update(before)


def run_page(path: Path, directory: Path) -> int:
    """Runs a page with ``directory`` as the working directory; returns the number of blocks that ran.

    Raises:
        AssertionError: an output is not what the page says, or a command fails.
    """
    namespace: dict[str, object] = {"__name__": path.stem}
    printed, ran = "", 0
    with contextlib.chdir(directory), operators_forgotten():
        for block in blocks(path.read_text(encoding="utf-8")):
            where = f"{path.name}:{block.line}"
            if block.language == "python":
                padded = "\n" * (block.line - 1) + block.text  # so that tracebacks name the line of the page
                code = compile(padded, str(path), "exec")
                printed = _captured(partial(exec, code, namespace))
                ran += 1
            elif block.language == "sh":
                printed = "".join(_shell(line, where) for line in block.text.splitlines() if line.strip())
                ran += 1
            elif block.language == "text" and printed:
                assert _trimmed(printed) == _trimmed(block.text), f"{where}: it prints\n{printed}"
                printed = ""
    return ran


def _captured(action: Callable[[], object]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        action()
    return out.getvalue()


def _shell(line: str, where: str) -> str:
    command = line.removesuffix("|| true")
    words = shlex.split(command)
    place = words.index("espdl")
    environment = dict(word.split("=", 1) for word in words[:place])
    codes: list[int] = []
    with mock.patch.dict(os.environ, environment):
        printed = _captured(lambda: codes.append(main(words[place + 1 :])))
    assert codes == [int(command != line)], f"{where}: {line} exits with {codes[0]}\n{printed}"
    return printed


def _trimmed(text: str) -> list[str]:
    """Lines without the width of columns."""
    return [re.sub(r"─+", "─", " ".join(line.split())) for line in text.strip().splitlines()]
