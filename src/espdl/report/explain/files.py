"""Two files on the command line become the two sides of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.dl.model import Model
from espdl.dtypes import Arithmetic, Int16Lut
from espdl.errors import EspdlError
from espdl.report.explain.dump import Value, is_dump, read_dump
from espdl.report.explain.sides import Side, embedded_inputs, random_inputs, run_side
from espdl.report.recordings import load_recordings


@dataclass(frozen=True)
class Rules:
    """How a file is run.

    Attributes:
        target: chip; None takes it from the file.
    """

    target: str | None = None
    arithmetic: str = Arithmetic.SILICON.value
    backend: str | None = None
    int16_lut: str = Int16Lut.NEAREST.value


def kind_of(path: Path) -> str:
    """``onnx``, ``dump`` or ``espdl``, from the ending and, for other files, from what is in them."""
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return "onnx"
    if suffix != ".espdl" and is_dump(path):
        return "dump"
    if suffix in (".txt", ".log", ".dump"):
        raise EspdlError(
            "the file holds no tensor", where=str(path), why="no line has 'espdl-tensor'", hint="see docs/pc-and-chip-differ.md"
        )
    return "espdl"


def require_used(kinds: tuple[str, str], rules: tuple[Rules, Rules], setting: Path | None) -> None:
    """Raises :class:`EspdlError` for an option that says how to run what is not run."""
    for kind, given, letter in zip(kinds, rules, "ab", strict=True):
        for option, value, usual in (
            ("arithmetic", given.arithmetic, Rules.arithmetic),
            ("int16-lut", given.int16_lut, Rules.int16_lut),
        ):
            if kind != "espdl" and value != usual:
                what = "a dump is not run" if kind == "dump" else "the float network has no arithmetic of a chip"
                raise EspdlError(f"--{option}-{letter} does not apply", why=what)
    if setting is not None and set(kinds) != {"onnx", "espdl"}:
        raise EspdlError("--setting does not apply", why="it prepares a float network as its .espdl file was")


def open_model(path: Path, rules: Rules, key: bytes | None = None) -> Model:
    """Loads a file with its rules."""
    return Model(
        path,
        key=key,
        target=rules.target,
        arithmetic=rules.arithmetic,
        backend=rules.backend,
        int16_lut=Int16Lut.parse(rules.int16_lut),
    )


def describe(path: Path, model: Model) -> str:
    """A run of a file, in words."""
    machine = model.machine
    more = ", interpolating tables" if machine.int16_lut is Int16Lut.INTERPOLATING else ""
    return f"{path.name} on {machine.chip.name}, {machine.arithmetic.value} arithmetic{more}"


def open_sides(
    one: Path,
    two: Path,
    rules: tuple[Rules, Rules],
    data: tuple[Path | None, Path | None] = (None, None),
    key: bytes | None = None,
) -> tuple[Side, Side, dict[str, NDArray]]:
    """Opens and runs two files; a dump becomes the second side.

    Args:
        rules: of either.
        data: inputs of either; the second is that of the first when None. Without any, those of the dump, else the file's test inputs,
            else random integers.

    Returns:
        Both sides, and the real inputs of the first, where they are known.

    Raises:
        EspdlError: for a file that cannot be read or run, and for two dumps.
    """
    kinds = kind_of(one), kind_of(two)
    if kinds[0] == "dump":
        if kinds[1] == "dump":
            raise EspdlError(
                "both are dumps: nothing can be computed again", hint="give the .espdl file that one of them comes from"
            )
        one, two, rules, data, kinds = two, one, rules[::-1], data[::-1], kinds[::-1]
    model = open_model(one, rules[0], key)
    dumped = read_dump(two) if kinds[1] == "dump" else {}
    inputs, source = _inputs(model, data[0] or data[1], dumped)
    first = run_side(f"{describe(one, model)}; {source}", model, inputs)
    real = {
        name: array for name, array in inputs.items() if array.dtype.kind == "f" and model.get_input(name).dtype.numpy.kind == "i"
    }
    if dumped:
        return first, Side(f"{two.name}, a dump of {len(dumped)} tensors", dumped), real
    other = open_model(two, rules[1], key)
    theirs: Mapping[str, NDArray] = _first(data[1], other) if data[1] is not None else inputs
    if data[1] is None and not real and _same_inputs(model, other) is False:
        theirs = {name: value.real.astype(np.float32) for name, value in first.values.items() if name in model.get_inputs()}
    return first, run_side(describe(two, other), other, theirs), real


def _same_inputs(one: Model, two: Model) -> bool:
    """Whether raw integers mean the same to both."""
    mine, theirs = one.get_inputs(), two.get_inputs()
    return all(
        name in theirs and (tensor.dtype, tensor.exponent) == (theirs[name].dtype, theirs[name].exponent)
        for name, tensor in mine.items()
    )


def _inputs(model: Model, data: Path | None, dumped: Mapping[str, Value]) -> tuple[dict[str, NDArray], str]:
    if data is not None:
        return _first(data, model), f"inputs of {data.name}"
    tensors = model.get_inputs()
    if all(name in dumped for name in tensors):
        taken = {name: dumped[name].data for name in tensors}
        if all(
            taken[name].dtype == tensor.dtype.numpy and list(taken[name].shape) == tensor.shape
            for name, tensor in tensors.items()
        ):
            return taken, "inputs of the dump"
    if found := embedded_inputs(model):
        return found, "test inputs of the file"
    if dumped:
        raise EspdlError("what the chip was run on is not known", hint="dump its inputs, too, or give them with --data")
    return random_inputs(model), "random integers"


def _first(path: Path, model: Model) -> dict[str, NDArray]:
    return load_recordings(path, model)[0]
