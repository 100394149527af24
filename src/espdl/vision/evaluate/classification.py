"""Top-1 and top-5 of a classifier."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.progress import track
from espdl.quantize.labelled import LabelledArrays, LabelledFolder
from espdl.tensor import TensorBase
from espdl.vision.classify import IMAGENET_MEAN, IMAGENET_STD
from espdl.vision.evaluate.float_network import FloatNetwork, Pixels
from espdl.vision.image import Image, ImagePreprocessor, Resampling, read_image

STEP = 32
"""Samples that are held at a time."""
NEVER = sys.maxsize


@dataclass(frozen=True)
class Accuracy:
    """Shares of samples, 0..1.

    Attributes:
        samples: how many there were.
        top1, top5: where the best class, or one of the best five, is right: of the integer file.
        float_top1, float_top5: of the float network; None without.
        agreement: where both have the same best class; None without a float network.
    """

    samples: int
    top1: float
    top5: float
    float_top1: float | None = None
    float_top5: float | None = None
    agreement: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class PictureOptions:
    """How picture files and uint8 arrays become the model's input.

    Attributes:
        mean, std: of pixels in 0..255, in the order of the model's channels.
        bgr: the model takes blue first; concerns files, arrays are taken as they are.
        resize: cut out the middle that is left of a picture whose shorter side is this long; None takes all of it.
        resampling: how pictures are resized.
    """

    mean: float | Sequence[float] = IMAGENET_MEAN
    std: float | Sequence[float] = IMAGENET_STD
    bgr: bool = False
    resize: int | None = None
    resampling: Resampling | str = Resampling.NEAREST


def evaluate_classifier(
    model: Model,
    data: LabelledArrays | LabelledFolder,
    network: FloatNetwork | None = None,
    options: PictureOptions | None = None,
) -> Accuracy:
    """Runs a classifier on labelled samples.

    Args:
        model: with one input, and one output of scores [..., classes]. Of equal scores the lower class comes first.
        data: the samples.
        network: the float network to put beside it; it gets the same pixels.
        options: of pictures.

    Raises:
        EspdlError: for samples that do not fit the model.
    """
    ranks: list[int] = []
    float_ranks: list[int] = []
    same = 0
    feeding = _Feeding(model, data, network, options or PictureOptions())
    name, tensor = next(iter(model.get_inputs().items()))
    output = next(iter(model.get_outputs()))
    raw = np.empty((min(STEP, len(data)), *tensor.shape), tensor.dtype.numpy)
    pending: list[NDArray | None] = []
    done = 0
    for real in track(feeding.samples(), "evaluating", len(data)):
        raw[len(pending)] = tensor.data
        pending.append(real)
        if len(pending) < STEP and done + len(pending) < len(data):
            continue
        scores = model.run_many({name: raw[: len(pending)]})[output].reshape(len(pending), -1)
        for row, float_row in zip(scores, pending, strict=True):
            right = data.labels[done]
            ranks.append(rank_of(row, right))
            if float_row is not None:
                float_ranks.append(rank_of(float_row, right))
                same += int(row.argmax() == float_row.argmax())
            done += 1
        pending = []
    if network is None:
        return Accuracy(len(ranks), share(ranks, 1), share(ranks, 5))
    return Accuracy(len(ranks), share(ranks, 1), share(ranks, 5), share(float_ranks, 1), share(float_ranks, 5), same / len(ranks))


def classes_of(model: Model) -> int:
    """How many classes a classifier tells apart. Raises :class:`EspdlError` for a model of several inputs or outputs."""
    inputs, outputs = model.get_inputs(), model.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise EspdlError(
            f"the model has {len(inputs)} inputs and {len(outputs)} outputs",
            why="classifiers of one input and one output are evaluated",
        )
    return int(np.prod(next(iter(outputs.values())).shape))


def share(ranks: Sequence[int], best: int) -> float:
    """The share of samples with less than ``best`` classes before the right one."""
    return float(np.mean(np.array(ranks) < best))


def rank_of(scores: NDArray, right: NDArray[np.int64]) -> int:
    """How many classes come before the first right one; ``NEVER`` when none is right."""
    chosen = right[right >= 0]
    if not chosen.size:
        return NEVER
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    return int(np.flatnonzero(np.isin(order, chosen))[0])


class _Feeding:
    """Fills the model's input with one sample after the other, and gives the float network's scores for each."""

    def __init__(
        self, model: Model, data: LabelledArrays | LabelledFolder, network: FloatNetwork | None, options: PictureOptions
    ) -> None:
        classes_of(model)
        self._tensor = model.get_input()
        self._model, self._data, self._network, self._options = model, data, network, options

    def samples(self) -> Iterator[NDArray | None]:
        if isinstance(self._data, LabelledArrays) and self._data.samples.dtype != np.uint8:
            yield from self._arrays(self._data.samples)
        else:
            yield from self._pictures()

    def _arrays(self, samples: NDArray) -> Iterator[NDArray | None]:
        if samples.dtype.kind != "f":
            raise EspdlError(f"samples of {samples.dtype} are not taken", hint="give uint8 pictures, or floats")
        for sample in samples:
            whole = sample[np.newaxis]
            values = TensorBase(self._tensor.shape, in_layout(whole, self._tensor.shape).astype(np.float32))
            if not self._tensor.assign(values, rounding=self._model.chip.rounding):
                raise EspdlError("the samples cannot be assigned to the model's input", why=f"it is {self._tensor.dtype.name}")
            yield None if self._network is None else _only(self._network.run(whole))

    def _pictures(self) -> Iterator[NDArray | None]:
        options, folder = self._options, isinstance(self._data, LabelledFolder)
        preprocessor = ImagePreprocessor(
            self._model, options.mean, options.std, options.bgr and folder, resampling=options.resampling
        )
        pixels = Pixels(preprocessor)
        for picture in self._images():
            crop = None if options.resize is None else middle(picture, self._tensor.shape[1:3], options.resize)
            preprocessor.preprocess(picture, crop)
            yield None if self._network is None else _only(self._network.run_pixels(pixels.of(picture), pixels.mean, pixels.std))

    def _images(self) -> Iterator[Image]:
        if isinstance(self._data, LabelledFolder):
            yield from map(read_image, self._data.files)
            return
        _, height, width, channels = self._tensor.shape if len(self._tensor.shape) == 4 else (0, 0, 0, 0)
        for sample in self._data.samples:
            pixels = sample.reshape(height, width, channels) if sample.size == height * width * channels else sample
            if pixels.shape != (height, width, channels) or sample.shape[:2] != (height, width):
                raise EspdlError(
                    f"pictures of shape {list(sample.shape)} do not fit the model's input {self._tensor.shape}",
                    hint="give uint8 pictures [height, width, channels] of its size",
                )
            yield Image.from_array(pixels)


def in_layout(sample: NDArray, shape: Sequence[int]) -> NDArray:
    """A sample in the float network's order of axes as one of the model's ``shape``: channels last where that fits, else as it is.

    Raises:
        EspdlError: when neither fits.
    """
    last = np.moveaxis(sample, 1, -1) if sample.ndim > 2 else sample
    for candidate in (last, sample):
        if list(candidate.shape) == list(shape):
            return candidate
    raise EspdlError(f"a sample of shape {list(sample.shape)} does not fit the model's input {list(shape)}")


def middle(picture: Image, size: Sequence[int], shorter: int) -> tuple[int, int, int, int]:
    """The part of a picture that is its middle of ``size`` (height, width) after its shorter side has become ``shorter`` pixels long."""
    scale = min(picture.width, picture.height) / shorter
    width, height = (min(extent, round(side * scale)) for extent, side in ((picture.width, size[1]), (picture.height, size[0])))
    if shorter < max(size):
        raise EspdlError(
            f"a picture resized to {shorter} is smaller than the model's {size[1]} x {size[0]}",
            hint=f"resize to {max(size)} or more",
        )
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return left, top, left + width, top + height


def _only(outputs: dict[str, NDArray]) -> NDArray:
    return next(iter(outputs.values())).reshape(-1)
