"""Windows of frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from espdl.audio.config import WindowType

BLACKMAN_COEFFICIENT = 0.42
POVEY_POWER = 0.85


def window(kind: WindowType | str, size: int) -> NDArray[np.float32] | None:
    """Weights of a frame of ``size`` samples, float32 [size]; None for ``NONE``, where nothing is multiplied.

    Source: runtime spec 8.3. Angles are computed in double precision and passed to the single-precision functions, as on the chip.
    """
    kind = WindowType.of(kind)
    if kind is WindowType.NONE:
        return None
    positions = np.arange(size, dtype=np.float64)
    step = 2 * np.pi / (size if kind is WindowType.HANN else size - 1)

    def cosine(times: float = 1.0) -> NDArray[np.float64]:
        return np.cos((times * step * positions).astype(np.float32)).astype(np.float64)

    match kind:
        case WindowType.HANNING | WindowType.HANN:
            weights = 0.5 - 0.5 * cosine()
        case WindowType.SINE:
            weights = np.sin((0.5 * step * positions).astype(np.float32)).astype(np.float64)
        case WindowType.HAMMING:
            weights = 0.54 - 0.46 * cosine()
        case WindowType.POVEY:
            weights = np.power((0.5 - 0.5 * cosine()).astype(np.float32), np.float32(POVEY_POWER)).astype(np.float64)
        case WindowType.BLACKMAN:
            weights = BLACKMAN_COEFFICIENT - 0.5 * cosine() + (0.5 - BLACKMAN_COEFFICIENT) * cosine(2)
        case _:
            weights = np.ones(size)
    return weights.astype(np.float32)
