"""``INDEX.csv``: what ESP-DL's own C++ code makes of the files beside it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from espdl.errors import EspdlError
from espdl.report.conformance.cases import CppVerdict

INDEX = "INDEX.csv"
_COLUMN = re.compile(r"esp_dl_(\d+(?:_\d+)*)_cpp")
_DTYPES = {"s8": "int8", "s16": "int16", "f32": "float32"}
_LEVELS_UP = 2


@dataclass(frozen=True)
class Row:
    """One file of an index: what it is for, and what the C++ code says."""

    operator: str
    dtype: str
    target: str
    cpp: CppVerdict


@dataclass
class Published:
    """Everything that indices say.

    Attributes:
        version: of ESP-DL; empty where no index has a column of its verdicts.
        rows: by absolute path.
    """

    version: str = ""
    rows: dict[Path, Row] = field(default_factory=dict)

    @property
    def cpp_name(self) -> str:
        return f"C++ {self.version}" if self.version else "C++"


def read_published(directory: Path) -> Published:
    """Reads every ``INDEX.csv`` with a column ``esp_dl_VERSION_cpp`` in, under, and up to two levels above ``directory``.

    Its columns ``target``, ``op`` and ``file`` name a file ``TARGET/OP/FILE`` beside it, or ``FILE``; ``dtype`` (s8, s16, f32, w8a16,
    mixed) may be missing.

    Raises:
        EspdlError: where such an index cannot be read.
    """
    directory = directory.resolve()
    above = [parent / INDEX for parent in directory.parents[:_LEVELS_UP]]
    published = Published()
    for path in sorted({*(path for path in above if path.is_file()), *directory.rglob(INDEX)}):
        try:
            _add(published, path)
        except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
            raise EspdlError("the index cannot be read", where=str(path), why=f"{type(error).__name__}: {error}") from None
    return published


def _add(published: Published, path: Path) -> None:
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        column = next((name for name in reader.fieldnames or () if _COLUMN.fullmatch(name)), None)
        if column is None or not {"target", "op", "file"} <= set(reader.fieldnames or ()):
            return
        for row in reader:
            verdict = CppVerdict.UNKNOWN
            if row[column] in ("passes", "fails"):
                verdict = CppVerdict(row[column])
            dtype = row.get("dtype") or ""
            entry = Row(row["op"], _DTYPES.get(dtype, dtype), row["target"], verdict)
            for place in _places(path.parent, row):
                published.rows.setdefault(place, entry)
    match = _COLUMN.fullmatch(column)
    assert match is not None
    published.version = match.group(1).replace("_", ".")


def _places(folder: Path, row: dict[str, str]) -> Iterator[Path]:
    yield folder / row["target"] / row["op"] / row["file"]
    yield folder / row["file"]
