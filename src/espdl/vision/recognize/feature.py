"""Features of faces and persons: what a model says of a picture, of length 1 (runtime spec 7.8 and 7.9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.dl import Model
from espdl.dl.module.sums import sequential_sum, sqrt_newton
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs.loader import Source as ModelSource
from espdl.rounding import dequantize
from espdl.vision.classify import IMAGENET_MEAN, IMAGENET_STD
from espdl.vision.image import ImagePreprocessor, Source
from espdl.vision.recognize.align import alignment_matrix


def normalized(values: ArrayLike) -> NDArray[np.float32]:
    """``x / sqrt_newton(sum of squares)`` in single precision, float32 of the same shape (runtime spec 7.8, root as in 3.8).

    Raises:
        EspdlError: for values that are all 0 or not finite.
    """
    array = np.asarray(values, np.float32)
    squares = sequential_sum((array * array).reshape(1, -1))
    if not np.isfinite(squares).all() or not squares.any():
        raise EspdlError(
            "a feature of this length has no direction", why=f"its squares add up to {float(squares.reshape(-1)[0]):g}"
        )
    return array / sqrt_newton(squares).reshape(-1)[0]


class FeatureExtractor:
    """A model that turns pictures into features.

    Args:
        model: an .espdl file, its bytes, or a Model that is ready to run.
        mean, std: of pixels in 0..255, in the order of the model's channels.
        rgb_swap: the model takes blue first.
        options: further arguments of Model: target, arithmetic, backend ...

    Raises:
        EspdlError: for a file that cannot be read or is no model for pictures.
    """

    def __init__(
        self,
        model: Model | ModelSource,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        *,
        rgb_swap: bool = False,
        **options: Any,
    ) -> None:
        self.model = model if isinstance(model, Model) else Model(model, **options)
        self.preprocessor = ImagePreprocessor(self.model, mean, std, rgb_swap)

    @property
    def feat_len(self) -> int:
        """Numbers of a feature."""
        return int(np.prod(self.model.get_output().shape))

    def run(self, image: Source, crop: Sequence[int] | None = None, *, matrix: ArrayLike | None = None) -> NDArray[np.float32]:
        """The feature of a picture, of its part ``crop`` [x1, y1, x2, y2), or of what ``matrix`` [2, 3] takes out of it (from the model's
        input to the picture): float32 [feat_len] of length 1.

        Raises:
            EspdlError: for a picture that cannot be read or does not contain ``crop``.
        """
        self.preprocessor.preprocess(image, crop, matrix=matrix, inv=True)
        self.model.run()
        return self.feature()

    def feature(self) -> NDArray[np.float32]:
        """What the model's output holds, as a feature of length 1."""
        output = self.model.get_output()
        raw = output.data.reshape(-1)
        return normalized(raw if output.dtype is DType.FLOAT else dequantize(raw, int(output.exponent)))


class HumanFaceFeat(FeatureExtractor):
    """Features of faces, with the preprocessing of ESP-DL's ``human_face_recognition``: blue first, aligned by five landmarks."""

    def __init__(self, model: Model | ModelSource, **options: Any) -> None:
        super().__init__(model, 127.5, 127.5, rgb_swap=True, **options)

    def of_face(self, image: Source, landmarks: ArrayLike) -> NDArray[np.float32]:
        """The feature of the face with these landmarks (left eye, left mouth, nose, right eye, right mouth; x and y of each)."""
        to = self.preprocessor.transformer
        return self.run(image, matrix=alignment_matrix(landmarks, to.width, to.height))


class PersonFeat(FeatureExtractor):
    """Features of persons, with the preprocessing of ESP-DL's ``person_reid``; give the person's box as ``crop``."""

    def __init__(self, model: Model | ModelSource, **options: Any) -> None:
        super().__init__(model, IMAGENET_MEAN, IMAGENET_STD, **options)
