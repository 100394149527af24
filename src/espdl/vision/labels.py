"""Names of classes: those of ImageNet, of hand gestures, and a user's own."""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path

from espdl.errors import EspdlError

GESTURES = ("one", "two", "three", "four", "five", "like", "ok", "no_gesture", "call", "dislike", "no_hand")
"""In the order of the model ``mobilenetv2_0_5_128_128_gesture`` (runtime spec 7.7)."""


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 classes of ImageNet, each by the first word WordNet has for it. "crane" and "maillot" stand for two classes each."""
    text = files("espdl.vision").joinpath("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def names_for(classes: int) -> tuple[str, ...]:
    """ImageNet's names for as many classes as it has, else none."""
    return imagenet_labels() if classes == len(imagenet_labels()) else ()


def read_labels(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of classes from a text file, one a line; the first line is class 0. Empty lines at the end do not count.

    Raises:
        EspdlError: when there is no such file, it is no text, or it is empty.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise EspdlError("the labels cannot be read", where=str(path), why=error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise EspdlError("the labels are no text", where=str(path), hint="save them as UTF-8, one name a line") from None
    if not lines:
        raise EspdlError("there are no labels in the file", where=str(path), hint="write one name a line")
    return tuple(line.strip() for line in lines)


def label_of(labels: tuple[str, ...], index: int) -> str:
    """The name of class ``index``; its number where it has no name."""
    return labels[index] if index < len(labels) and labels[index] else str(index)
