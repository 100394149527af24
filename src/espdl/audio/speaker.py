"""Who speaks: the SpeakerVerification component of ESP-DL's model zoo (runtime spec 8.6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.audio.config import SpeechFeatureConfig, WindowType
from espdl.audio.features import Fbank, as_samples
from espdl.audio.wav import Wav, read_wav
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.rounding import dequantize

FEATURES = SpeechFeatureConfig(num_mel_bins=80, window_type=WindowType.HAMMING, low_freq=20)
THRESHOLD = 0.25
"""Of ESP-DL's example."""

Recording = str | Path | Wav | ArrayLike


@dataclass(frozen=True)
class Verdict:
    """Whether two recordings are of one speaker.

    Attributes:
        similarity: cosine of the two embeddings, in [-1, 1].
        threshold: above which they count as one speaker's.
    """

    similarity: float
    threshold: float

    @property
    def same(self) -> bool:
        return self.similarity > self.threshold

    def to_dict(self) -> dict[str, float | bool]:
        return {"similarity": self.similarity, "threshold": self.threshold, "same": self.same}


class SpeakerVerification:
    """Embeddings of speakers, and how alike they are.

    Args:
        model: an ``.espdl`` file (``sv_tdnn_tiny_3s``, ``sv_tdnn_tiny_6s``) or a loaded model with one input [1, frames, 80].
        threshold: for :meth:`verify`.
        options: of :class:`espdl.Model`, when ``model`` is a file.

    Raises:
        EspdlError: when the model cannot be loaded, or its input is not frames of 80 features.
    """

    def __init__(self, model: str | Path | Model, *, threshold: float = THRESHOLD, **options: Any) -> None:
        self.model = model if isinstance(model, Model) else Model(model, **options)
        self.threshold = threshold
        self.feature = Fbank(FEATURES)
        shapes = [list(tensor.shape) for tensor in self.model.get_inputs().values()]
        if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] != 1 or shapes[0][2] != self.feature.dim:
            raise EspdlError(
                "this is no model of speakers", why=f"its inputs are {shapes}, not one [1, frames, {self.feature.dim}]"
            )
        self.frames = int(shapes[0][1])

    def features(self, recording: Recording) -> NDArray[np.float32]:
        """What the model is fed, before quantization: float32 [frames, 80], the mean over time subtracted.

        Args:
            recording: a WAV file of 16 kHz or its samples (int16, or floats with full scale [-1, 1]). Of longer recordings the middle is
                taken, shorter ones are filled with zeros.
        """
        samples = self._samples(recording)
        wanted = self.feature.samples(self.frames)
        if not len(samples):
            raise EspdlError("the recording holds no samples")
        first = max(0, (len(samples) - wanted) // 2)
        taken = samples[first : first + wanted]
        padded = np.zeros(wanted, np.float32)
        padded[: len(taken)] = taken
        features = self.feature.of_frames(padded, self.frames)
        return features - np.add.reduce(features, axis=0) / np.float32(self.frames)

    def embed(self, recording: Recording) -> NDArray[np.float32]:
        """The embedding of a recording: float32 [512], dequantized, not normalized."""
        (name,) = self.model.get_inputs()
        results = self.model.run_arrays({name: self.features(recording)[np.newaxis]})
        (name, raw), *_ = results.items()
        return dequantize(raw, self.model.get_output(name).exponent.data()[0]).reshape(-1)

    def verify(self, first: Recording, second: Recording) -> Verdict:
        """Compares two recordings."""
        return Verdict(similarity(self.embed(first), self.embed(second)), self.threshold)

    def _samples(self, recording: Recording) -> NDArray[np.float32]:
        if isinstance(recording, (str, Path)):
            recording = read_wav(recording)
        if not isinstance(recording, Wav):
            return as_samples(recording)
        rate = self.feature.config.sample_rate
        if recording.sample_rate != rate:
            raise EspdlError(
                f"the recording has {recording.sample_rate} samples a second", why=f"the model wants {rate}", hint="resample it"
            )
        return as_samples(recording.mono())


def similarity(first: ArrayLike, second: ArrayLike) -> float:
    """Cosine of two vectors in single precision; 0 when one of them is 0 (runtime spec 8.6)."""
    a, b = (np.asarray(vector, np.float32).reshape(-1) for vector in (first, second))
    if len(a) != len(b):
        raise EspdlError("the embeddings have different lengths", why=f"{len(a)} and {len(b)}")
    lengths = np.sqrt(np.dot(a, a)) * np.sqrt(np.dot(b, b))
    return float(np.dot(a, b) / lengths) if lengths else 0.0
