"""The house: a room imports rooms on lower floors only, torch and the names of chips are in one file only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import espdl
from espdl.chips import CHIPS

PACKAGE = Path(espdl.__file__).parent
FLOORS: dict[str, int] = {
    **dict.fromkeys(("errors", "rounding", "dtypes", "chips", "exponent", "alignment", "bias_layout", "wording"), 0),
    **dict.fromkeys(("tensor", "tensor_compare", "tensor_convert", "tensor_memory", "tensor_ops", "version", "progress"), 0),
    **dict.fromkeys(("free_memory", "sizes"), 0),
    "fbs": 1,
    "dl": 2,
    "estimate": 3,
    "quantize": 4,
    **dict.fromkeys(("api", "executor", "core", "IR", "quantization", "demo", "report", "deploy", "vision", "audio"), 5),
    "cli": 6,
    **dict.fromkeys(("__init__", "__main__"), 7),
}
"""By room: a module or package right under ``espdl``. Those of floor 0 are one room."""

FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if "generated" not in path.parts]
TRAINING = "quantize/train/"
"""Everything in it that needs PyTorch imports it at once, and is imported itself only where something is trained."""

CHIP_NAME = re.compile(r"\b(" + "|".join(sorted(name for name in CHIPS if len(name) > 1)) + r")\b")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, inside functions and for type checking too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "import_module"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} <= FLOORS.keys()


@pytest.mark.parametrize("room", sorted({room_of(path) for path in FILES} - {"__init__"}))
def test_a_room_imports_lower_floors_only(room: str) -> None:
    floor = FLOORS[room]
    upwards = []
    for path in FILES:
        if room_of(path) != room:
            continue
        for line, name in imports(path):
            package, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if package != "espdl" or other == room or other not in FLOORS:
                continue
            if FLOORS[other] >= floor and not FLOORS[other] == floor == 0:
                upwards.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not upwards


def test_the_package_imports_itself_by_full_names_that_exist() -> None:
    for path in FILES:
        for line, name in imports(path):
            parts = name.split(".")
            if parts[0] == "espdl" and len(parts) > 1:
                assert parts[1] in FLOORS, f"{path.relative_to(PACKAGE)}:{line}: {name}"


def test_torch_is_imported_where_it_is_needed_only() -> None:
    places = {(path, line) for path in FILES for line, name in imports(path) if name.split(".")[0] == "torch"}
    names = {path.relative_to(PACKAGE).as_posix() for path, _ in places}
    assert {name for name in names if not name.startswith(TRAINING)} == {"quantize/torch_import.py"}
    elsewhere = {path for path in FILES if not path.relative_to(PACKAGE).as_posix().startswith(TRAINING)}
    heavy = {path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".") for path, _ in places}
    for path in elsewhere:
        at_import = [node for node in tree_of(path).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        lines = {node.lineno for node in at_import}
        assert not {line for other, line in places if other == path} & lines
        if path.name != "torch_import.py":
            found = {name.removeprefix("espdl.") for line, name in imports(path) if line in lines}
            assert not [name for name in found if any(name.startswith(f"{h}.") for h in heavy if h.startswith("quantize.train"))]


def test_chips_have_names_in_one_file_only() -> None:
    found = []
    for path in FILES:
        if room_of(path) in ("chips", "cli"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CHIP_NAME.search(node.value):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.value[:40]!r}")
    assert not found, "ask the chip for the fact instead"
