"""Tensors as lines of text: what a chip prints on its console, and what ``espdl run --dump`` writes (docs/pc-and-chip-differ.md).

One line is one tensor::

    espdl-tensor "NAME" int8 -4 1x6x6x20 hex 00ff7f...

name in double quotes (a quote or a backslash in it behind a backslash), type, exponent, extents, how the values are written, values.
``hex`` and ``base64`` are the bytes in memory, little-endian; ``dec`` are numbers, separated by blanks or commas. What stands before
``espdl-tensor`` on a line, and every other line, is ignored: a whole log of the console is a dump.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.chips import LARGEST_MEMORY
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import write_atomically

MARK = b"espdl-tensor"
LARGEST_FILE = 512 << 20
_MOST_TENSORS = 100_000
_MOST_AXES = 8
_MOST_EXPONENT = 64
_LINE = re.compile(
    r'"(?P<name>(?:[^"\\]|\\["\\])*)"\s+(?P<dtype>\w+)\s+(?P<exponent>[+-]?\d{1,4})\s+(?P<shape>[\dx]{1,100})\s+(?P<form>\w+)(?:\s+(?P<data>.*))?'
)
_TYPES = {str(dtype.numpy): dtype for dtype in DType if dtype not in (DType.UNDEFINED, DType.STRING)}
_TYPES |= {"float": DType.FLOAT, "double": DType.DOUBLE, "unit32": DType.UINT32}  # as ESP-DL spells them
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Value:
    """A tensor of a run.

    Attributes:
        name, dtype: as in the file.
        data: raw values in the runtime's layout.
        exponent: ``real = raw * 2**exponent``; 0 of floats.
    """

    name: str
    dtype: DType
    data: NDArray
    exponent: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def real(self) -> NDArray[np.float64]:
        """What it stands for."""
        values = self.data.astype(np.float64)
        return np.ldexp(values, self.exponent) if self.data.dtype.kind in "iu" else values


def dump_line(value: Value) -> str:
    """A tensor as a line, its values in hexadecimal digits."""
    name = value.name.replace("\\", "\\\\").replace('"', '\\"')
    extents = "x".join(map(str, value.shape)) or "1"
    little = np.ascontiguousarray(value.data, dtype=value.dtype.numpy)
    return f'{MARK.decode()} "{name}" {value.dtype.numpy} {value.exponent} {extents} hex {little.tobytes().hex()}'


def write_dump(path: str | Path, values: Iterable[Value]) -> None:
    """Writes a dump, whole or not at all."""
    write_atomically(path, "".join(f"{dump_line(value)}\n" for value in values))


def read_dump(path: str | Path) -> dict[str, Value]:
    """Reads the tensors of a dump or of a console log, in the order of the file, by name.

    Raises:
        EspdlError: naming the line that is broken or cut off, of a tensor that is there twice, and where there is none.
    """
    try:
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size > LARGEST_FILE:
                raise EspdlError(f"a dump of more than {LARGEST_FILE >> 20} MB", where=str(path), hint="dump fewer tensors")
            return _read(stream, str(path))
    except OSError as error:
        raise EspdlError("the dump cannot be read", where=str(path), why=error.strerror or str(error)) from None


def is_dump(path: Path) -> bool:
    """Whether a file holds a tensor of a dump within its first megabyte."""
    try:
        with path.open("rb") as stream:
            return MARK in stream.read(1 << 20)
    except OSError:
        return False


def _read(lines: Iterable[bytes], where: str) -> dict[str, Value]:
    found: dict[str, Value] = {}
    total = 0
    for number, raw in enumerate(lines, 1):
        place = raw.find(MARK + b" ")
        if place < 0:
            continue
        text = _ANSI.sub("", raw[place + len(MARK) :].decode("utf-8", "replace")).strip()
        try:
            value = _tensor(text)
            if value.name in found:
                raise EspdlError(f"tensor {value.name!r} is there twice", hint="keep the lines of one run")
        except EspdlError as error:
            raise error.at(f"{where}, line {number}") from None
        found[value.name] = value
        total += value.data.nbytes
        if total > LARGEST_FILE or len(found) > _MOST_TENSORS:
            raise EspdlError("the dump holds more than a chip has", where=where, hint="dump fewer tensors")
    if not found:
        raise EspdlError("the file holds no tensor", where=where, why=f"no line has {MARK.decode()!r}")
    return found


def _tensor(text: str) -> Value:
    match = _LINE.fullmatch(text)
    if match is None:
        raise EspdlError(
            "the line is no tensor", why=repr(text[:60]), hint='write it as: espdl-tensor "NAME" int8 -4 1x6x6x20 hex 00ff7f...'
        )
    name = re.sub(r'\\(["\\])', r"\1", match["name"])
    dtype = _TYPES.get(match["dtype"].lower())
    if dtype is None:
        raise EspdlError(f"tensor {name!r} has type {match['dtype']!r}", hint="one of " + ", ".join(_TYPES))
    exponent = int(match["exponent"])
    if abs(exponent) > _MOST_EXPONENT:
        raise EspdlError(f"tensor {name!r} has exponent {exponent}", why=f"none is beyond {_MOST_EXPONENT}")
    extents = match["shape"].split("x")
    shape = tuple(int(extent) for extent in extents if extent and len(extent) < 10)
    if len(shape) != len(extents) or not 1 <= len(shape) <= _MOST_AXES or min(shape) < 1:
        raise EspdlError(f"tensor {name!r} has shape {match['shape']!r}", hint="write extents as 1x6x6x20")
    size = prod(shape)
    if size * dtype.itemsize > LARGEST_MEMORY:
        raise EspdlError(f"tensor {name!r} of shape {list(shape)} is larger than a chip's memory")
    values = _values(match["form"].lower(), match["data"] or "", dtype, name, size)
    if values.size != size:
        raise EspdlError(
            f"tensor {name!r} has {values.size} values, its shape {list(shape)} holds {size}",
            why="the line is cut off or mixed with another one",
            hint="print it in one piece, and read the console without a limit on the length of lines",
        )
    return Value(name, dtype, values.reshape(shape), exponent if dtype.numpy.kind in "iu" else 0)


def _values(form: str, data: str, dtype: DType, name: str, size: int) -> NDArray:
    try:
        if form == "dec":
            words = data.replace(",", " ").split(maxsplit=size + 1)[: size + 1]
            if dtype.numpy.kind in "iu":
                return _in_range([int(word) for word in words], dtype)
            return np.array([float(word) for word in words]).astype(dtype.numpy)
        if form == "hex":
            payload = bytes.fromhex(data)
        elif form == "base64":
            payload = base64.b64decode("".join(data.split()), validate=True)
        else:
            raise EspdlError(f"tensor {name!r} is written as {form!r}", hint="one of hex, base64, dec")
    except (ValueError, OverflowError, binascii.Error) as error:
        raise EspdlError(f"the values of tensor {name!r} cannot be read", why=str(error)[:80]) from None
    if len(payload) % dtype.itemsize:
        raise EspdlError(f"tensor {name!r} has {len(payload)} bytes, no whole number of elements", why="the line is cut off")
    if dtype is DType.BOOL:
        return np.frombuffer(payload, np.uint8) != 0
    return np.frombuffer(payload, dtype.numpy).copy()


def _in_range(numbers: list[int], dtype: DType) -> NDArray:
    limits = np.iinfo(dtype.numpy)
    for number in numbers:
        if not limits.min <= number <= limits.max:
            raise EspdlError(f"{number} is no {dtype.numpy}")
    return np.array(numbers, dtype.numpy)


def values_of(arrays: Mapping[str, NDArray], exponents: Mapping[str, int]) -> list[Value]:
    """Raw arrays of a run as tensors."""
    return [Value(name, DType.of(array.dtype), array, exponents.get(name, 0)) for name, array in arrays.items()]
