"""The digits of the demonstration: 1,797 real handwritten ones (scikit-learn's copy of the UCI optical digits), and their split.

The training script and the demonstration both take the split from here, so that no test image was ever trained or calibrated on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from espdl.errors import EspdlError

SPLIT_SEED = 2026
TEST_IMAGES = 450
CALIBRATION_IMAGES = 64
PIXEL_MAX = 16.0


@dataclass(frozen=True)
class Digits:
    """A set of digits.

    Attributes:
        images: float32 in [0, 1], shape [count, 1, 8, 8].
        labels: int64 in 0..9, shape [count].
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def load_digits() -> tuple[Digits, Digits]:
    """Training and test images: a seeded permutation, the last ``TEST_IMAGES`` held out.

    Raises:
        EspdlError: when scikit-learn, which carries the images, is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError:
        raise EspdlError(
            "the demonstration needs the handwritten digits of scikit-learn",
            why="scikit-learn is not installed",
            hint="pip install scikit-learn",
        ) from None
    pixels, labels = load(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / PIXEL_MAX).astype(np.float32)
    order = np.random.Generator(np.random.PCG64(SPLIT_SEED)).permutation(len(images))
    training, test = order[:-TEST_IMAGES], order[-TEST_IMAGES:]
    classes = labels.astype(np.int64)
    return Digits(images[training], classes[training]), Digits(images[test], classes[test])
