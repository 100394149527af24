"""What a picture shows: classifiers and their postprocessor (runtime spec 7.7)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl import Model
from espdl.dl.module.softmax import Softmax
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs.loader import Source as ModelSource
from espdl.rounding import dequantize
from espdl.tensor import TensorBase
from espdl.vision.image import ImagePreprocessor, Resampling, Source
from espdl.vision.labels import GESTURES, imagenet_labels, label_of
from espdl.vision.sorting import best_first

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of pixels in 0..255, red first."""


@dataclass(frozen=True)
class Classification:
    """One class that a picture may show.

    Attributes:
        index: number of the class.
        label: its name.
        score: its probability, or the raw output where the model's own is one.
    """

    index: int
    label: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class ClsPostprocessor:
    """The best classes of a model's output.

    Args:
        model: whose output is [..., classes].
        labels: names of the classes; a class without one is named by its number.
        topk: the largest number of classes to tell.
        score_thr: only classes with a score above it.
        need_softmax: whether the model's output still has to become probabilities. A chip can do that for int8 only.
        output_name: which output; the alphabetically first one when empty.

    Raises:
        EspdlError: when the model has no such output, or ``topk`` is below 1.
    """

    def __init__(
        self,
        model: Model,
        labels: Sequence[str] = (),
        *,
        topk: int = 5,
        score_thr: float = -math.inf,
        need_softmax: bool = True,
        output_name: str = "",
    ) -> None:
        if topk < 1:
            raise EspdlError(f"the best {topk} classes cannot be told", hint="ask for 1 or more")
        self.labels = tuple(labels)
        self.topk = topk
        self.score_thr = score_thr
        self._model, self._output_name = model, output_name
        self._need_softmax = need_softmax
        self._bound_to: NDArray | None = None
        output = model.get_output(output_name)
        if need_softmax and output.dtype is not DType.INT8:
            warnings.warn(f"the model's output is {output.dtype.name}: a chip's classifier reads it as int8", stacklevel=2)

    def scores(self) -> NDArray[np.float32]:
        """The score of every class, flat, from what the model's output holds."""
        output = self._model.get_output(self._output_name)
        if self._need_softmax:
            if self._bound_to is not output.data:  # the first time, and when the model was built anew
                self._probabilities = TensorBase(output.shape)
                self._softmax = Softmax("softmax").bind([output], [self._probabilities], self._model.machine)
                self._bound_to = output.data
            self._softmax()
            return self._probabilities.data.reshape(-1)
        if output.dtype is DType.FLOAT:
            return output.data.reshape(-1).copy()
        return dequantize(output.data.reshape(-1), int(output.exponent))

    def postprocess(self) -> list[Classification]:
        """The best classes, best first; equal scores stand in the order in which the chip leaves them."""
        scores = self.scores()
        kept = np.flatnonzero(scores > self.score_thr)
        best = [int(kept[place]) for place in best_first(scores[kept], self.topk)]
        return [Classification(index, label_of(self.labels, index), float(scores[index])) for index in best]


class Classifier:
    """A model that tells what a picture shows, from the picture to the names.

    Args:
        model: an .espdl file, its bytes, or a Model that is ready to run.
        mean, std: of pixels in 0..255, in the order of the model's channels.
        rgb_swap: the model takes blue first.
        labels: names of the classes.
        topk, score_thr, need_softmax: see :class:`ClsPostprocessor`.
        resampling: how pictures are resized. A chip does NEAREST, the default.
        options: further arguments of Model: target, arithmetic, backend ...

    Raises:
        EspdlError: for a file that cannot be read or is no model for pictures.
    """

    def __init__(
        self,
        model: Model | ModelSource,
        mean: float | Sequence[float] = IMAGENET_MEAN,
        std: float | Sequence[float] = IMAGENET_STD,
        *,
        rgb_swap: bool = False,
        labels: Sequence[str] = (),
        topk: int = 5,
        score_thr: float = -math.inf,
        need_softmax: bool = True,
        resampling: Resampling | str = Resampling.NEAREST,
        **options: Any,
    ) -> None:
        self.model = model if isinstance(model, Model) else Model(model, **options)
        self.preprocessor = ImagePreprocessor(self.model, mean, std, rgb_swap, resampling=resampling)
        self.postprocessor = ClsPostprocessor(self.model, labels, topk=topk, score_thr=score_thr, need_softmax=need_softmax)

    def run(self, image: Source, crop: Sequence[int] | None = None) -> list[Classification]:
        """The best classes for a picture, best first.

        Args:
            image: an Image, Pillow picture, uint8 pixels, the path of a picture file, or its bytes.
            crop: part of the picture to look at, [x1, y1, x2, y2).

        Raises:
            EspdlError: for a picture that cannot be read.
        """
        self.preprocessor.preprocess(image, crop)
        self.model.run()
        return self.postprocessor.postprocess()


class ImageNetCls(Classifier):
    """Classifier of the 1000 ImageNet classes, with the preprocessing of ESP-DL's ``imagenet_cls`` (runtime spec 7.9)."""

    def __init__(self, model: Model | ModelSource, *, topk: int = 5, **options: Any) -> None:
        super().__init__(model, labels=imagenet_labels(), topk=topk, **options)


class HandGestureCls(Classifier):
    """Classifier of hand gestures, with the preprocessing of ESP-DL's ``hand_gesture_recognition`` (runtime spec 7.9).

    It looks at a hand: give the box that a hand detector found as ``crop``.
    """

    def __init__(self, model: Model | ModelSource, *, topk: int = 1, **options: Any) -> None:
        super().__init__(model, labels=GESTURES, topk=topk, **options)
