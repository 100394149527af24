"""Runs the code of a documentation page, block by block, as a reader would who types it in.

Blocks of ``python`` share one namespace. Lines of ``sh`` are calls of ``espdl``, with environment variables in front of them perhaps; one
that ends in ``|| true`` must exit with 1. A block of ``text`` behind either is what they print; widths of columns and last places of
decimals do not count, and a line ``...`` stands for any lines. Other blocks are not run. Pages find the modules of ``examples`` and
``benchmarks``.

    python -m tests.pages README.md docs/budget.md

writes what is printed now into the pages, where it is something else.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

from espdl.cli import main
from espdl.dl.module import MODULE_TYPES

ROOT = Path(__file__).resolve().parent.parent
ELLIPSIS = "..."
Check = Callable[["Block", str, str], None]
"""Gets a block of text, what was printed before it, and where the block stands."""

CLOSE = 0.03
_DECIMAL = re.compile(r"-?\d+\.\d+")
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


def check_output(block: Block, printed: str, where: str) -> None:
    """Raises AssertionError where a block of text is not what was printed."""
    assert is_shown(_trimmed(printed), _trimmed(block.text)), f"{where}: it prints\n{printed}"


def run_page(path: Path, directory: Path, check: Check = check_output) -> int:
    """Runs a page with ``directory`` as the working directory; returns the number of blocks that ran.

    Raises:
        AssertionError: an output is not what the page says, or a command fails.
    """
    namespace: dict[str, object] = {"__name__": path.stem}
    printed, ran = "", 0
    paths = [*sys.path, *(str(ROOT / folder) for folder in ("examples", "benchmarks"))]
    with contextlib.chdir(directory), operators_forgotten(), mock.patch("sys.path", paths):
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
                check(block, printed, where)
                printed = ""
    return ran


def rewrite_page(path: Path) -> list[str]:
    """Writes what is printed into the page; returns where. A text left out at its end or its beginning keeps its number of lines.

    Raises:
        AssertionError: a command fails, or only the middle of an output is shown, and that has changed.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[tuple[Block, list[str], str]] = []

    def collect(block: Block, printed: str, where: str) -> None:
        if not is_shown(_trimmed(printed), _trimmed(block.text)):
            found.append((block, excerpt(printed.strip("\n").splitlines(), block.text.splitlines(), where), where))

    with tempfile.TemporaryDirectory() as directory:
        run_page(path.resolve(), Path(directory), collect)
    for block, new, _ in reversed(found):
        lines[block.line - 1 : block.line - 1 + len(block.text.splitlines())] = new
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [where for _, _, where in found]


def is_shown(printed: list[str], shown: list[str]) -> bool:
    """Whether ``shown`` are the lines printed, ``...`` standing for any lines."""
    if ELLIPSIS not in shown:
        return len(printed) == len(shown) and all(map(alike, printed, shown))
    cut = shown.index(ELLIPSIS)
    if len(printed) < cut or not all(map(alike, printed[:cut], shown[:cut])):
        return False
    rest, shown = printed[cut:], shown[cut + 1 :]
    return not shown or any(is_shown(rest[start:], shown) for start in range(len(rest)))


def alike(printed: str, shown: str) -> bool:
    """Whether two lines say the same: numbers with a decimal point may lie :data:`CLOSE` apart, all else is equal.

    Float networks are calibrated with other last places on another CPU, and decibels and milliseconds with them.
    """
    if printed == shown:
        return True
    numbers = [list(map(float, _DECIMAL.findall(line))) for line in (printed, shown)]
    words = [_DECIMAL.sub("#", line) for line in (printed, shown)]
    return words[0] == words[1] and all(math.isclose(a, b, rel_tol=CLOSE, abs_tol=CLOSE) for a, b in zip(*numbers, strict=True))


def excerpt(printed: list[str], shown: list[str], where: str) -> list[str]:
    """The lines printed, as many at either end as ``shown`` has there."""
    printed = [line.rstrip() for line in printed]
    if ELLIPSIS not in shown:
        return printed
    assert shown.count(ELLIPSIS) == 1, f"{where}: it prints\n" + "\n".join(printed)
    head = shown.index(ELLIPSIS)
    tail = len(shown) - head - 1
    return [*printed[:head], ELLIPSIS, *printed[len(printed) - tail :]]


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


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, *rewrite_page(Path(name)))
