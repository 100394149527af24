"""Labelled samples for classifiers: a folder for each class, or arrays x and y."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.dl.arrays import reading_arrays
from espdl.errors import EspdlError
from espdl.quantize.pictures import PICTURE_SUFFIXES


@dataclass(frozen=True)
class LabelledArrays:
    """Samples that are in memory.

    Attributes:
        samples: [N, ...]: uint8 pictures [N, H, W, C], in the model's order of channels, or floats in the float network's order of axes.
        labels: [N, K] int64: of each sample the classes that count as right; -1 is none.
    """

    samples: NDArray
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.samples)

    def limited(self, limit: int) -> LabelledArrays:
        """At most ``limit`` samples, at even distances."""
        chosen = spread(len(self), limit)
        return LabelledArrays(self.samples[chosen], self.labels[chosen])


@dataclass(frozen=True)
class LabelledFolder:
    """Picture files, by class.

    Attributes:
        files: N of them.
        labels: [N, 1] int64.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.files)

    def limited(self, limit: int) -> LabelledFolder:
        """At most ``limit`` pictures, at even distances."""
        chosen = spread(len(self), limit)
        return LabelledFolder(tuple(self.files[i] for i in chosen), self.labels[chosen])


def spread(count: int, limit: int) -> NDArray[np.intp]:
    """At most ``limit`` of ``count`` indices, at even distances."""
    return np.arange(count) if count <= limit else np.arange(limit) * count // limit


def open_labelled(path: str | os.PathLike[str], classes: int, names: Sequence[str] = ()) -> LabelledArrays | LabelledFolder:
    """Labelled samples from an .npz file with x and y, or from a folder that holds a folder for each class.

    Folders are called like a class: by its number, or by its name; otherwise there must be as many as the model has classes, and they
    count in the order of their names.

    Args:
        path: of the file or folder.
        classes: of the model.
        names: of the classes.

    Raises:
        EspdlError: when there is nothing of the kind.
    """
    place = Path(path)
    return _from_folders(place, classes, names) if place.is_dir() else _from_arrays(place, classes)


def _from_arrays(path: Path, classes: int) -> LabelledArrays:
    with reading_arrays("the labelled arrays cannot be read", path), np.load(path, allow_pickle=False) as arrays:
        held = {name: arrays[name] for name in arrays.files}
    if not {"x", "y"} <= held.keys():
        found = ", ".join(held) or "nothing"
        raise EspdlError("the file holds no x and y", where=str(path), why=f"it holds {found}")
    x, y = held["x"], held["y"]
    if y.dtype.kind not in "iu" or y.ndim not in (1, 2) or len(x) != len(y) or not len(x):
        raise EspdlError(
            f"x of shape {list(x.shape)} and y of shape {list(y.shape)}, {y.dtype}, do not fit together",
            where=str(path),
            hint="y holds one class for each sample of x, or several in a row",
        )
    labels = y.astype(np.int64).reshape(len(y), -1)
    if labels.max() >= classes:
        raise EspdlError(f"there is a label {labels.max()}", where=str(path), why=f"the model has {classes} classes, from 0")
    return LabelledArrays(x, labels)


def _from_folders(root: Path, classes: int, names: Sequence[str]) -> LabelledFolder:
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    if not folders:
        raise EspdlError("there are no folders of classes in it", where=str(root), hint="make one for each class")
    number = {name: index for index, name in enumerate(names)}
    if all(folder.name.isdecimal() and int(folder.name) < classes for folder in folders):
        indices = [int(folder.name) for folder in folders]
    elif all(folder.name in number for folder in folders):
        indices = [number[folder.name] for folder in folders]
    elif len(folders) == classes:
        indices = list(range(classes))
    else:
        raise EspdlError(
            f"there are {len(folders)} folders, the model has {classes} classes",
            where=str(root),
            hint="call each folder by the number or the name of its class",
        )
    files, labels = [], []
    for folder, index in zip(folders, indices, strict=True):
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file():
                files.append(file)
                labels.append([index])
    if not files:
        raise EspdlError("there are no pictures in it", where=str(root))
    return LabelledFolder(tuple(files), np.array(labels, np.int64))
