"""What verbs on pictures share: pictures or folders in, one line of text or JSON for each out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Path as PathValidator

from espdl.errors import EspdlError

Pictures = Annotated[
    list[Annotated[Path, Parameter(validator=PathValidator(exists=True))]],
    Parameter(name="IMAGE", help="Picture files, or folders that are searched with all their folders."),
]
JsonLines = Annotated[
    bool, Parameter(name="--json", help="Print one JSON object in a line for each picture.", show_default=False)
]
Upright = Annotated[
    bool,
    Parameter(name="--upright", help="Turn pictures upright as their EXIF data say; a chip does not.", show_default=False),
]
ResamplingName = Annotated[
    Literal["nearest", "bilinear", "antialiased"],
    Parameter(
        name="--resampling",
        help="How pictures are resized: nearest, as on the chip, bilinear, or antialiased, as training on a PC does.",
    ),
]


def find_pictures(paths: Iterable[Path]) -> list[Path]:
    """The picture files among ``paths`` and in the folders among them, those of a folder in the order of their names.

    Raises:
        EspdlError: for a folder without pictures.
    """
    from espdl.quantize.pictures import PICTURE_SUFFIXES

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
        if not inside:
            raise EspdlError(
                "there are no pictures in the folder", where=str(path), hint="known are " + " ".join(sorted(PICTURE_SUFFIXES))
            )
        found += inside
    return found


def each_picture(
    paths: Iterable[Path],
    work: Callable[[Path], dict[str, Any]],
    tell: Callable[[Path, dict[str, Any]], None],
    *,
    json: bool,
    text: str,
) -> int:
    """Works on pictures one after the other and prints what was found right away.

    A picture that fails is told on standard error (and in its line of JSON, as ``error``); the others go on.

    Args:
        paths: pictures and folders.
        work: what is to be done with a picture; returns what its line of JSON says beside ``image``.
        tell: prints that as text.
        json: print lines of JSON instead.
        text: for the progress bar.

    Returns:
        The exit code: 1 when any picture failed.
    """
    from espdl.progress import track

    files = find_pictures(paths)
    failed = 0
    for file in track(files, text, len(files)):
        try:
            found = work(file)
        except EspdlError as error:
            failed += 1
            told = error if str(file) in error.where else error.at(str(file))
            print(f"espdl: {told}", file=sys.stderr)
            if json:
                print_json_line({"image": str(file), "error": str(told)})
            continue
        if json:
            print_json_line({"image": str(file), **found})
        else:
            tell(file, found)
    if failed and len(files) > 1:
        print(f"espdl: {failed} of {len(files)} pictures failed", file=sys.stderr)
    return 1 if failed else 0


def print_json_line(value: dict[str, Any]) -> None:
    """One JSON object in a line, seen at once by a reader."""
    print(json.dumps(value, default=str, ensure_ascii=False), flush=True)
