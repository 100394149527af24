"""Options that several verbs share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from cyclopts.validators import Path as PathValidator

from espdl.chips import CHIPS


def known_chip(_: object, name: str | None) -> None:
    """Validates the name of a chip."""
    if name is not None and name.lower() not in CHIPS:
        raise ValueError(f"there is no such chip; known are {', '.join(CHIPS)}")


def _shape(_: object, text: str) -> None:
    if not re.fullmatch(r"(.+=)?\d+(,\d+)*", text):
        raise ValueError("write it as NAME=1,3,224,224")


def _cache(_: object, text: str) -> None:
    if not re.fullmatch(r".+=[1-9]\d*(@.+)?", text):
        raise ValueError("write it as TENSOR=WINDOW or TENSOR=WINDOW@NODE")


def numbers(_: object, text: str) -> None:
    """Validates a list of numbers."""
    try:
        [float(number) for number in text.split(",")]
    except ValueError:
        raise ValueError("write numbers as 0.5 or 0.485,0.456,0.406") from None


def board(_: object, name: str | None) -> None:
    """Validates the name of a module."""
    if name is not None and not re.fullmatch(r"(?:.*-)?N\d+(?:R\d+)?V?A?", name, re.IGNORECASE):
        raise ValueError("write N and R with megabytes of flash and PSRAM, as N16R8")


def place(_: object, text: str | None) -> None:
    """Validates a size or an offset in the flash."""
    if text is not None and not re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+)[kKmM]?", text):
        raise ValueError("write it as 4096, 0x1000, 4K or 1M")


def size(_: object, text: str | None) -> None:
    """Validates a number of bytes."""
    if text is not None and not re.fullmatch(r"\d+(\.\d+)?[KMkm]?", text):
        raise ValueError("write a size as 300000, 512K or 4M")


FILE = PathValidator(exists=True, dir_okay=False)
SHARE = Number(gte=0, lte=1)
PER_CHANNEL = Parameter(validator=numbers)

ModelFile = Annotated[Path, Parameter(name="MODEL", help="An .espdl file.", validator=FILE)]
ModelFiles = Annotated[
    list[Annotated[Path, Parameter(validator=PathValidator(exists=True))]],
    Parameter(name="MODEL", help=".espdl files, or one directory of them."),
]
NetworkFile = Annotated[Path, Parameter(name="MODEL", help="An .onnx file.", validator=FILE)]
Directory = Annotated[
    Path, Parameter(name="DIR", help="Searched with all its folders.", validator=PathValidator(exists=True, file_okay=False))
]
InputFile = Annotated[Path, Parameter(validator=FILE)]
OutputFile = Annotated[Path, Parameter(validator=PathValidator(dir_okay=False))]
KeyFile = Annotated[
    Path | None,
    Parameter(
        name="--key-file",
        help="Key of encrypted models: a file of 16 bytes or 32 hexadecimal digits; else ESPDL_KEY is taken.",
        validator=FILE,
    ),
]
PackageModel = Annotated[
    str | None,
    Parameter(name="--model", help="Which model of a package: its index, or its name with .espdl; the first by default."),
]
Force = Annotated[bool, Parameter(name="--force", help="Replace what is there.", show_default=False)]
InputShapes = Annotated[
    list[Annotated[str, Parameter(validator=_shape)]] | None,
    Parameter(
        name="--input-shape",
        help="Shape of an input with dynamic axes: NAME=1,3,224,224, once for each; the name may be left out.",
    ),
]
StreamingShapes = Annotated[
    list[Annotated[str, Parameter(validator=_shape)]] | None,
    Parameter(
        name="--streaming-input-shape",
        help="Shape of a chunk, with fewer frames than the input: [NAME=]1,16,3, once for each input that is fed in chunks.",
    ),
]
StreamingCaches = Annotated[
    list[Annotated[str, Parameter(validator=_cache)]] | None,
    Parameter(
        name="--streaming-cache",
        help="Let what reads a tensor see the frames before, too: TENSOR=WINDOW, or TENSOR=WINDOW@NODE for one reader.",
    ),
]
Target = Annotated[str, Parameter(name="--target", validator=known_chip, help="Chip: " + ", ".join(CHIPS) + ".")]
ModelTarget = Annotated[
    str | None,
    Parameter(name="--target", validator=known_chip, help="Chip; needed only when the file does not tell it."),
]
DirectoryTarget = Annotated[
    str | None,
    Parameter(name="--target", validator=known_chip, help="Chip; files for chips that compute otherwise are left out."),
]
Arithmetic = Annotated[
    Literal["silicon", "reference"],
    Parameter(
        name="--arithmetic",
        help="silicon: the chip's vector unit with its lane widths; reference: C code with wide accumulators.",
    ),
]
Backend = Annotated[
    Literal["native", "numpy"] | None,
    Parameter(name="--backend", help="Kernels: native (fast) or numpy; the fastest present by default."),
]
Int16Lut = Annotated[
    Literal["nearest", "interpolating"],
    Parameter(
        name="--int16-lut",
        help="16-bit tables with a step: nearest entry, or interpolating, as ESP-DL did before 2026-07-15.",
    ),
]
StrictOnnx = Annotated[
    bool,
    Parameter(
        name="--strict-onnx",
        help="Give what ONNX says where ESP-DL does something else and both can be had; the chip will not.",
        show_default=False,
    ),
]
BoardName = Annotated[
    str | None,
    Parameter(
        name="--module",
        validator=board,
        help="Module by its ending: N16R8 has 16 MB of flash, 8 MB of PSRAM; the usual one by default.",
    ),
]
RunMode = Annotated[
    Literal["single", "multi", "auto"],
    Parameter(name="--mode", help="Runtime mode on the chip: single core (what run() does), multi core, or auto."),
]
Json = Annotated[bool, Parameter(name="--json", help="Print one JSON object instead of text.", show_default=False)]


def parse_shapes(texts: list[str] | None) -> dict[str, list[int]] | list[list[int]] | None:
    """Shapes by input name, or in input order when names are missing; None without any."""
    if not texts:
        return None
    pairs = [text.rpartition("=") for text in texts]
    shapes = [(name, [int(size) for size in sizes.split(",")]) for name, _, sizes in pairs]
    return dict(shapes) if all(name for name, _ in shapes) else [shape for _, shape in shapes]


def package_entry(text: str | None) -> int | str | None:
    """Index or name of a model in a package."""
    return int(text) if text is not None and text.isdecimal() else text
