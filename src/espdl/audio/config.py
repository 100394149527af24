"""What features are computed: the fields of ESP-DL's ``SpeechFeatureConfig`` (runtime spec 8.2), checked."""

from __future__ import annotations

import enum
import math
import warnings
from dataclasses import dataclass

from espdl.errors import EspdlError

FLOAT_EPSILON = 1.1920928955078125e-07
"""The step of binary32 at 1, the floor of logarithms."""
MAX_FFT_SIZE = 1 << 16


class WindowType(enum.Enum):
    """Shape of a window; the values are the names that ESP-DL's ``win_type_from_string`` knows."""

    HANNING = "hanning"
    SINE = "sine"
    HANN = "hann"
    HAMMING = "hamming"
    POVEY = "povey"
    RECTANGULAR = "rectangular"
    BLACKMAN = "blackman"
    NONE = "none"

    @classmethod
    def of(cls, value: WindowType | str) -> WindowType:
        """From a name in any case. The chip takes an unknown name for NONE; here it is refused.

        Raises:
            EspdlError: for a name that does not exist.
        """
        try:
            return value if isinstance(value, WindowType) else cls(str(value).lower())
        except ValueError:
            names = ", ".join(window.value for window in cls)
            raise EspdlError(f"there is no window {value!r}", hint=f"choose one of {names}") from None


@dataclass(frozen=True)
class SpeechFeatureConfig:
    """How :class:`Fbank`, :class:`MFCC` and :class:`Spectrogram` compute (runtime spec 8.2; names and defaults are ESP-DL's).

    Attributes:
        sample_rate: Hz.
        frame_length, frame_shift: whole milliseconds; fractions are cut off, as on the chip.
        num_mel_bins: filters of the mel bank.
        num_ceps: coefficients of MFCC, at most ``num_mel_bins``.
        preemphasis: in [0, 1); up to 1e-7 switches it off.
        cepstral_lifter: of MFCC; 0 switches it off.
        window_type: a :class:`WindowType` or its name.
        low_freq, high_freq: ends of the mel bank in Hz, whole numbers, fractions are cut off; a ``high_freq`` of 0 or less is half the
            sample rate.
        log_epsilon: floor of logarithms.
        use_log_fbank: 0 gives energies, 1 log(max(x, epsilon)), 2 log(x + epsilon).
        raw_energy: whether energy is that of the frame before pre-emphasis and window.
        use_power: power spectrum, else magnitude.
        use_energy: whether the logarithm of the energy comes first in Fbank and MFCC.
        use_int16_fft: accepted by ESP-DL and without effect there; here it warns.
        remove_dc_offset: whether the mean of a frame is subtracted.

    Raises:
        EspdlError: for values that ESP-DL refuses or that make no features.
    """

    sample_rate: int = 16000
    frame_length: int = 25
    frame_shift: int = 10
    num_mel_bins: int = 26
    num_ceps: int = 13
    preemphasis: float = 0.97
    cepstral_lifter: float = 22.0
    window_type: WindowType | str = WindowType.HANNING
    low_freq: float = 80.0
    high_freq: float = 0.0
    log_epsilon: float = FLOAT_EPSILON
    use_log_fbank: int = 1
    raw_energy: bool = True
    use_power: bool = True
    use_energy: bool = False
    use_int16_fft: bool = False
    remove_dc_offset: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_type", WindowType.of(self.window_type))
        for name in ("sample_rate", "frame_length", "frame_shift", "num_mel_bins", "num_ceps", "use_log_fbank"):
            object.__setattr__(self, name, int(self._finite(name)))
        for name in ("preemphasis", "cepstral_lifter", "low_freq", "high_freq", "log_epsilon"):
            object.__setattr__(self, name, float(self._finite(name)))
        for name in ("sample_rate", "frame_length", "frame_shift", "num_mel_bins", "num_ceps", "log_epsilon"):
            self._require(getattr(self, name) > 0, name, "it must be above 0")
        self._require(self.window_size > 0, "frame_length", f"no sample fits in {self.frame_length} ms at {self.sample_rate} Hz")
        self._require(self.shift_size > 0, "frame_shift", f"no sample fits in {self.frame_shift} ms at {self.sample_rate} Hz")
        self._require(self.window_size > 1, "frame_length", "a window has at least 2 samples")
        self._require(self.fft_size <= MAX_FFT_SIZE, "frame_length", f"a window has at most {MAX_FFT_SIZE} samples")
        self._require(0 <= self.preemphasis < 1, "preemphasis", "it must lie in [0, 1)")
        self._require(self.cepstral_lifter >= 0, "cepstral_lifter", "it must not be negative")
        self._require(self.use_log_fbank in (0, 1, 2), "use_log_fbank", "it is 0, 1 or 2")
        low, high = self.mel_range
        self._require(0 <= low < high, "low_freq", f"the mel bank would reach from {low} to {high} Hz")
        self._require(high <= self.sample_rate / 2, "high_freq", f"{self.sample_rate} Hz hold no more than half of that")
        if self.use_int16_fft:
            warnings.warn("use_int16_fft has no effect: ESP-DL accepts it and computes in float32 all the same", stacklevel=3)

    @property
    def window_size(self) -> int:
        """Samples of a frame."""
        return self.frame_length * self.sample_rate // 1000

    @property
    def shift_size(self) -> int:
        """Samples between the beginnings of frames."""
        return self.frame_shift * self.sample_rate // 1000

    @property
    def fft_size(self) -> int:
        """The power of two at or above the window."""
        return 1 << max(self.window_size - 1, 0).bit_length()

    @property
    def mel_range(self) -> tuple[int, int]:
        """Ends of the mel bank in whole Hz."""
        return int(self.low_freq), int(self.high_freq if self.high_freq > 0 else self.sample_rate / 2)

    def _finite(self, name: str) -> float:
        value = getattr(self, name)
        try:
            if math.isfinite(value):
                return value
        except (TypeError, OverflowError):
            pass
        raise EspdlError(f"the feature configuration has a wrong {name}", why=f"{value!r} is not a finite number")

    def _require(self, condition: bool, name: str, why: str) -> None:
        if not condition:
            raise EspdlError(f"the feature configuration has a wrong {name}: {getattr(self, name)}", why=why)
