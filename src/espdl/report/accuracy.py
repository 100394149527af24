"""How often a classifier is right: the file itself on labelled data, with the chip's integers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.quantize.pictures import (
    PICTURE_SUFFIXES,
    PictureOptions,
    network_picture,
    picture_size,
    picture_stack,
    read_picture,
    takes_pictures,
)

SAMPLES, LABELS = "x", "y"
BATCH = 256
"""Samples that are held as floats at a time."""


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of a model: the share of ``samples`` whose largest output is the label's."""

    top1: float
    samples: int


@dataclass(frozen=True)
class Labelled:
    """Samples with their labels: ``labels`` [N], and batches of inputs as the model takes them."""

    labels: NDArray[np.int64]
    batches: Iterator[NDArray]


def measure_top1(
    model: Model, data: str | os.PathLike[str], options: PictureOptions | None = None, limit: int | None = None
) -> Accuracy:
    """Runs a classifier on labelled data.

    Args:
        model: with one input, and one output whose largest number is the class.
        data: an .npz file with samples ``x`` [N, ...] and labels ``y`` [N], or a directory with one folder of pictures for each class;
            classes are numbered in the order of the folders' names, or by them where all are numbers. Floats are in the order of axes of
            the float network or of the file; uint8 pictures are pixels.
        options: how pixels become numbers.
        limit: the largest number of samples; they are taken at even distances.

    Raises:
        EspdlError: for data without labels or samples, and for samples or models that do not fit.
    """
    (name, tensor), *more = model.get_inputs().items()
    outputs = model.get_outputs()
    if more or len(outputs) != 1:
        raise EspdlError(
            f"top-1 is of models with one input and one output, this has {1 + len(more)} and {len(outputs)}",
            hint="leave the limit out, or measure it with a program of your own",
        )
    shape = tuple(tensor.shape)
    chosen = options or PictureOptions()
    path = Path(data)
    try:
        found = _from_folders(path, shape, chosen, limit) if path.is_dir() else _from_file(path, shape, chosen, limit)
        return _count(model, name, found)
    except EspdlError as error:
        raise error.at(str(path)) from None


def _count(model: Model, name: str, found: Labelled) -> Accuracy:
    (output,) = model.get_outputs()
    classes = int(np.prod(model.get_outputs()[output].shape))
    if found.labels.min() < 0 or found.labels.max() >= classes:
        raise EspdlError(
            f"labels from {found.labels.min()} to {found.labels.max()} do not fit {classes} classes", hint="count from 0"
        )
    right = start = 0
    for batch in found.batches:
        scores = model.run_many({name: batch})[output].reshape(len(batch), -1)
        right += int((scores.argmax(axis=1) == found.labels[start : start + len(batch)]).sum())
        start += len(batch)
    return Accuracy(right / start, start)


def _from_file(path: Path, shape: tuple[int, ...], options: PictureOptions, limit: int | None) -> Labelled:
    if path.suffix != ".npz" or not path.is_file():
        raise EspdlError(
            "there are no labelled data", hint="give an .npz file with x and y, or a directory with one folder per class"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: Mapping[str, NDArray] = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, BadZipFile) as error:
        raise EspdlError("the file cannot be read", why=str(error)) from None
    if missing := [key for key in (SAMPLES, LABELS) if key not in arrays]:
        raise EspdlError(f"there is no array {missing[0]}", why="found are " + (", ".join(arrays) or "none"))
    x, y = arrays[SAMPLES], arrays[LABELS].reshape(-1)
    if len(x) != len(y) or not len(y) or y.dtype.kind not in "iu":
        raise EspdlError(f"{len(x)} samples and {len(y)} labels of type {y.dtype}", why="each sample has a whole number")
    chosen = _chosen(len(y), limit)
    samples, labels = x[chosen], y[chosen].astype(np.int64)
    if x.dtype == np.uint8 and takes_pictures(shape):
        stack = picture_stack("", samples, shape)
        return Labelled(labels, _batches(len(labels), lambda index: network_picture(stack[index], shape, options)))
    fitting = _ordered(samples, shape)
    return Labelled(labels, _batches(len(labels), lambda index: np.asarray(fitting[index], np.float32).reshape(shape)))


def _ordered(samples: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Samples in the file's order of axes: as they are, or with the channels brought to the end."""
    inner = shape[1:] if shape[0] == 1 else shape
    if samples.shape[1:] in (inner, shape):
        return samples
    if samples.ndim == len(inner) + 1 and samples.ndim > 2 and np.moveaxis(samples, 1, -1).shape[1:] == inner:
        return np.moveaxis(samples, 1, -1)
    raise EspdlError(f"samples of shape {list(samples.shape[1:])} do not fit an input of shape {list(shape)}")


def _from_folders(path: Path, shape: tuple[int, ...], options: PictureOptions, limit: int | None) -> Labelled:
    picture_size("", shape)
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    if folders and all(folder.name.isdecimal() for folder in folders):
        numbers = [int(folder.name) for folder in folders]
    else:
        numbers = list(range(len(folders)))
    files = [
        (file, number)
        for folder, number in zip(folders, numbers, strict=True)
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in PICTURE_SUFFIXES
    ]
    if not files:
        raise EspdlError("the directory holds no folders with pictures", hint="one folder per class")
    files = [files[index] for index in _chosen(len(files), limit)]
    labels = np.array([number for _, number in files], dtype=np.int64)
    return Labelled(labels, _batches(len(files), lambda index: read_picture(files[index][0], shape, options)))


def _chosen(count: int, limit: int | None) -> list[int]:
    if limit is None or count <= limit:
        return list(range(count))
    return [index * count // limit for index in range(limit)]


def _batches(count: int, sample: Callable[[int], NDArray]) -> Iterator[NDArray]:
    for start in range(0, count, BATCH):
        yield np.stack([sample(index) for index in range(start, min(start + BATCH, count))])
