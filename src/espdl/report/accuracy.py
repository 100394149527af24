"""How often a classifier is right: the file itself on labelled data, with the chip's integers.

Pictures are prepared as for calibration. ``espdl evaluate`` prepares them as the chip does, and tells more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.quantize.labelled import LabelledArrays, LabelledFolder, open_labelled
from espdl.quantize.pictures import PictureOptions, network_picture, picture_stack, read_picture, takes_pictures

BATCH = 256
"""Samples that are held as floats at a time."""


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of a model: the share of ``samples`` whose largest output is the label's."""

    top1: float
    samples: int


def measure_top1(
    model: Model, data: str | os.PathLike[str], options: PictureOptions | None = None, limit: int | None = None
) -> Accuracy:
    """Runs a classifier on labelled data.

    Args:
        model: with one input, and one output whose largest number is the class.
        data: an .npz file with samples ``x`` [N, ...] and labels ``y`` [N], or a directory with one folder of pictures for each class, see
            :func:`espdl.quantize.labelled.open_labelled`. Floats are in the order of axes of the float network or of the file; uint8
            pictures are pixels.
        options: how pixels become numbers.
        limit: the largest number of samples; they are taken at even distances.

    Raises:
        EspdlError: for data without labels or samples, and for samples or models that do not fit.
    """
    (name, tensor), *more = model.get_inputs().items()
    (output, scores), *others = model.get_outputs().items()
    if more or others:
        raise EspdlError(
            f"top-1 is of models with one input and one output, this has {1 + len(more)} and {1 + len(others)}",
            hint="leave the limit out, or measure it with a program of your own",
        )
    labelled = open_labelled(data, int(np.prod(scores.shape)))
    chosen = labelled if limit is None else labelled.limited(limit)
    right = start = 0
    try:
        for batch in _batches(len(chosen), _sampler(chosen, tuple(tensor.shape), options or PictureOptions())):
            answers = model.run_many({name: batch})[output].reshape(len(batch), -1).argmax(axis=1)
            right += int((answers[:, np.newaxis] == chosen.labels[start : start + len(batch)]).any(axis=1).sum())
            start += len(batch)
    except EspdlError as error:
        raise error.at(os.fspath(data)) from None
    return Accuracy(right / start, start)


def _sampler(
    labelled: LabelledArrays | LabelledFolder, shape: tuple[int, ...], options: PictureOptions
) -> Callable[[int], NDArray[np.float32]]:
    """What gives a sample by its number, as an input of ``shape``."""
    if isinstance(labelled, LabelledFolder):
        return lambda index: read_picture(labelled.files[index], shape, options)
    if labelled.samples.dtype == np.uint8 and takes_pictures(shape):
        stack = picture_stack("", labelled.samples, shape)
        return lambda index: network_picture(stack[index], shape, options)
    fitting = _ordered(labelled.samples, shape)
    return lambda index: np.asarray(fitting[index], np.float32).reshape(shape)


def _ordered(samples: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Samples in the file's order of axes: as they are, or with the channels brought to the end."""
    inner = shape[1:] if shape[0] == 1 else shape
    if samples.shape[1:] in (inner, shape):
        return samples
    if samples.ndim == len(inner) + 1 and samples.ndim > 2 and np.moveaxis(samples, 1, -1).shape[1:] == inner:
        return np.moveaxis(samples, 1, -1)
    raise EspdlError(f"samples of shape {list(samples.shape[1:])} do not fit an input of shape {list(shape)}")


def _batches(count: int, sample: Callable[[int], NDArray]) -> Iterator[NDArray]:
    for start in range(0, count, BATCH):
        yield np.stack([sample(index) for index in range(start, min(start + BATCH, count))])
