"""Features of sound that arrives piece by piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.audio.features import SpeechFeature, as_samples


class FeatureStream:
    """Takes samples as they come and gives the frames that are complete.

    Whatever the pieces, the frames together equal :meth:`SpeechFeature.process` of the whole recording bit for bit.

    Args:
        feature: what is computed of each frame.
    """

    def __init__(self, feature: SpeechFeature) -> None:
        self.feature = feature
        self._waiting: NDArray[np.float32] = np.empty(0, np.float32)
        self._skip = 0

    @property
    def pending(self) -> int:
        """Samples that wait for the rest of their frame."""
        return len(self._waiting)

    def push(self, samples: ArrayLike) -> NDArray[np.float32]:
        """Features of the frames that these samples complete, float32 [frames, dim]; often there are none.

        Args:
            samples: any number, int16 or float as in :meth:`SpeechFeature.process`.

        Raises:
            EspdlError: for samples that ``process`` refuses; the stream is as it was before.
        """
        arrived = as_samples(samples)
        skipped = min(self._skip, len(arrived))
        self._skip -= skipped
        waiting = np.concatenate((self._waiting, arrived[skipped:]))
        count = self.feature.frames(len(waiting))
        result = self.feature.of_frames(waiting, count)
        used = count * self.feature.config.shift_size
        self._skip += max(0, used - len(waiting))  # frames that lie further apart than they are long
        self._waiting = waiting[used:].copy()
        return result

    def reset(self) -> None:
        """Forgets all samples."""
        self._waiting = np.empty(0, np.float32)
        self._skip = 0
