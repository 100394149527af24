"""Sound: reading WAV files, and the speech features that ESP-DL computes on a chip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from espdl.audio.config import SpeechFeatureConfig, WindowType
from espdl.audio.features import MFCC, Fbank, Spectrogram, SpeechFeature
from espdl.audio.mel import MelBank
from espdl.audio.streaming import FeatureStream
from espdl.audio.wav import Wav, read_wav
from espdl.audio.windows import window

if TYPE_CHECKING:
    from espdl.audio.speaker import SpeakerVerification

__all__ = [
    "MFCC",
    "Fbank",
    "FeatureStream",
    "MelBank",
    "SpeakerVerification",
    "Spectrogram",
    "SpeechFeature",
    "SpeechFeatureConfig",
    "Wav",
    "WindowType",
    "read_wav",
    "window",
]


def __getattr__(name: str) -> Any:
    if name == "SpeakerVerification":  # it brings the runtime
        from espdl.audio.speaker import SpeakerVerification

        return SpeakerVerification
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
