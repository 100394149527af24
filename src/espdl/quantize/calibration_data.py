"""Where calibration samples come from: a directory of pictures, an ``.npy`` or ``.npz`` file, or a Python callable.

Whatever the source, :func:`open_calibration_data` gives a re-iterable of known length that yields one sample at a time, as a mapping
from input name to a float32 array of the network's own shape. Everything that can be told without reading all the data (names,
shapes, types, emptiness) is told when the source is opened.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.arrays import reading_arrays
from espdl.errors import EspdlError
from espdl.quantize.dataloader import Sample, Shapes, split_batch, stack_samples
from espdl.quantize.pictures import (
    PICTURE_SUFFIXES,
    PictureOptions,
    network_picture,
    picture_size,
    picture_stack,
    read_picture,
    takes_pictures,
)
from espdl.wording import counted

FORMS = "a directory of pictures, an .npy or .npz file, or module:callable"


@dataclass(frozen=True)
class CalibrationData:
    """Samples that can be gone through any number of times.

    Attributes:
        count: number of samples.
        source: where they come from, in words.
        samples: starts a new pass.
    """

    count: int
    source: str
    samples: Callable[[], Iterator[Sample]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Sample]:
        return self.samples()


def open_calibration_data(
    source: str | os.PathLike[str], shapes: Shapes, steps: int, pictures: PictureOptions | None = None
) -> CalibrationData:
    """Opens ``source`` for a network.

    A directory gives its pictures (searched through all its levels); with more than ``steps`` of them, ``steps`` are taken at even
    distances in the order of their names, so that every class of a sorted data set takes part. A file gives its first ``steps``
    samples along the first axis; uint8 samples of an input that takes pictures are pixels, in either order of axes. A callable is
    called for every pass and returns an iterable of samples, or of batches of them, as the network takes them.

    Args:
        source: see above.
        shapes: the network's input shapes by name, batch 1 included.
        steps: the largest number of samples to use.
        pictures: how pixels become numbers.

    Raises:
        EspdlError: when there is no such source, when it is empty, or when its arrays do not fit the network.
    """
    options = pictures or PictureOptions()
    path = Path(source)
    if path.is_dir():
        return _from_directory(path, shapes, steps, options)
    if path.suffix in (".npy", ".npz"):
        if not path.is_file():
            raise EspdlError("the calibration data do not exist", where=str(path))
        return _from_arrays(_load_arrays(path, shapes), str(path), shapes, steps, options)
    module, colon, name = str(source).partition(":")
    if colon and name and all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        return _from_callable(module, name, shapes, steps)
    what = "is none of the kinds of calibration data" if path.exists() else "does not exist"
    raise EspdlError(f"calibration data {str(source)!r} {what}", hint="give " + FORMS)


def _from_directory(path: Path, shapes: Shapes, steps: int, options: PictureOptions) -> CalibrationData:
    if len(shapes) != 1:
        raise EspdlError(
            f"pictures can feed one input, the network has {len(shapes)}",
            where=str(path),
            hint="give an .npz file with one array per input: " + ", ".join(shapes),
        )
    (name, shape), *_ = shapes.items()
    picture_size(name, shape)
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file())
    if not files:
        raise EspdlError(
            "the directory holds no pictures", where=str(path), hint="known are " + " ".join(sorted(PICTURE_SUFFIXES))
        )
    if len(files) > steps:
        files = [files[index * len(files) // steps] for index in range(steps)]
    return CalibrationData(
        len(files),
        f"{counted(len(files), 'picture')} of {path}",
        lambda: ({name: read_picture(file, shape, options)} for file in files),
    )


def _load_arrays(path: Path, shapes: Shapes) -> dict[str, NDArray]:
    with reading_arrays("the calibration data cannot be read", path):
        if path.suffix == ".npy":
            arrays = {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        else:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files if key in shapes or len(archive.files) == 1 == len(shapes)}
                found = ", ".join(archive.files) or "none"
    if len(shapes) == 1 and len(arrays) == 1:
        return {next(iter(shapes)): next(iter(arrays.values()))}
    if path.suffix == ".npy":
        raise EspdlError(
            f"an .npy file can feed one input, the network has {len(shapes)}",
            where=str(path),
            hint="give an .npz file with one array per input: " + ", ".join(shapes),
        )
    if missing := [name for name in shapes if name not in arrays]:
        raise EspdlError(
            f"there is no array for input {', '.join(map(repr, missing))}",
            where=str(path),
            why=f"arrays found: {found}",
            hint="name one array after each input: " + ", ".join(shapes),
        )
    return arrays


def _from_arrays(arrays: dict[str, NDArray], where: str, shapes: Shapes, steps: int, options: PictureOptions) -> CalibrationData:
    stacks: dict[str, NDArray] = {}
    readers: dict[str, Callable[[NDArray], NDArray]] = {}
    try:
        for name, shape in shapes.items():
            _check_numbers(name, arrays[name])
            if arrays[name].dtype == np.uint8 and takes_pictures(shape):
                stacks[name] = picture_stack(name, arrays[name], shape)
                readers[name] = partial(network_picture, shape=shape, options=options)
            else:
                stacks[name] = stack_samples(name, arrays[name], shape)
                readers[name] = _as_numbers
    except EspdlError as error:
        raise error.at(where) from None
    counts = {name: len(stack) for name, stack in stacks.items()}
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise EspdlError("the inputs have different numbers of samples", where=where, why=text)
    count = min(steps, *counts.values())
    if count == 0:
        raise EspdlError("the calibration data are empty", where=where)

    def samples() -> Iterator[Sample]:
        for index in range(count):
            yield {name: readers[name](stack[index]) for name, stack in stacks.items()}

    return CalibrationData(count, f"{counted(count, 'sample')} of {where}", samples)


def _as_numbers(values: NDArray) -> NDArray:
    """Real and integer samples become float32; the 64-bit indices and booleans that some networks take keep their type."""
    dtype = values.dtype if values.dtype in (np.int64, np.bool_) else np.dtype(np.float32)
    return np.ascontiguousarray(values, dtype=dtype)


def _check_numbers(name: str, array: NDArray) -> None:
    if array.dtype.kind not in "fiub":
        raise EspdlError(f"the array for input {name!r} holds {array.dtype}, not numbers")


def _from_callable(module_name: str, name: str, shapes: Shapes, steps: int) -> CalibrationData:
    where = f"{module_name}:{name}"
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        factory: Any = importlib.import_module(module_name)
        for part in name.split("."):
            factory = getattr(factory, part)
    except (ImportError, AttributeError) as error:
        raise EspdlError("the calibration callable cannot be imported", where=where, why=str(error)) from None
    if not callable(factory):
        raise EspdlError("what is given for calibration is not callable", where=where, why=f"it is a {type(factory).__name__}")

    def samples() -> Iterator[Sample]:
        return islice(_batches_to_samples(factory(), shapes, where), steps)

    count = sum(1 for _ in samples())
    if count == 0:
        raise EspdlError("the calibration data are empty", where=where)
    return CalibrationData(count, f"{counted(count, 'sample')} of {where}", samples)


def _batches_to_samples(batches: Iterable[Any], shapes: Shapes, where: str) -> Iterator[Sample]:
    """Takes the batches of a callable apart; see :func:`espdl.quantize.dataloader.samples_of` for their forms."""
    if not isinstance(batches, Iterable):
        raise EspdlError(
            "the calibration callable must return an iterable", where=where, why=f"it returned {type(batches).__name__}"
        )
    for number, batch in enumerate(batches):
        try:
            for sample in split_batch(batch, shapes):
                yield {name: _as_numbers(array) for name, array in sample.items()}
        except EspdlError as error:
            raise error.at(f"{where}, batch {number}") from None
