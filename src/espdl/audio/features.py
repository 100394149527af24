"""Fbank, MFCC and Spectrogram of speech, as ESP-DL's feature extractors compute them (runtime spec 8.3 to 8.5).

Frames are computed many at a time, yet every number is the result of the same operations in the same order, however many there are:
frames of a stream equal those of the whole recording bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from espdl.audio.config import SpeechFeatureConfig
from espdl.audio.dl_fft import rfft_f32
from espdl.audio.mel import MelBank
from espdl.audio.windows import window
from espdl.errors import EspdlError

_BLOCK_VALUES = 1 << 17
"""Values that are worked on at a time: few enough to stay in the cache of a core, enough to hide what a call costs."""
INT16_SCALE = np.float32(1 / 32768)


class SpeechFeature(ABC):
    """What the three kinds of features share: frames, window and spectrum.

    Args:
        config: defaults when None.
        chip_fft: compute the transform by the single-precision steps of dl_fft instead of NumPy's: slower, and nearer to a chip in the
            last bit.
        fields: of :class:`SpeechFeatureConfig`, instead of those of ``config``.

    Attributes:
        config: what is computed; fields that this kind of feature forces are set so.

    Raises:
        EspdlError: for a configuration that ESP-DL refuses.
    """

    forced: ClassVar[dict[str, Any]] = {}

    def __init__(self, config: SpeechFeatureConfig | None = None, *, chip_fft: bool = False, **fields: Any) -> None:
        try:
            self.config = replace(config or SpeechFeatureConfig(), **{**fields, **self.forced})
        except TypeError as error:
            raise EspdlError("the feature configuration has no such field", why=str(error)) from None
        self._chip_fft = chip_fft
        self._window = window(self.config.window_type, self.config.window_size)

    @property
    @abstractmethod
    def dim(self) -> int:
        """Numbers per frame."""

    @property
    def bins(self) -> int:
        """Of the spectrum, from 0 to half the sample rate."""
        return self.config.fft_size // 2 + 1

    def frames(self, samples: int) -> int:
        """Frames in that many samples: only whole ones count."""
        whole = samples - self.config.window_size
        return 0 if whole < 0 else 1 + whole // self.config.shift_size

    def samples(self, frames: int) -> int:
        """The fewest samples that hold that many frames."""
        return 0 if frames <= 0 else (frames - 1) * self.config.shift_size + self.config.window_size

    def process(self, samples: ArrayLike) -> NDArray[np.float32]:
        """Features of a recording.

        Args:
            samples: one channel: int16, which is divided by 32768, or floats of any scale (full scale is [-1, 1] on the chip).

        Returns:
            Float32 [frames, dim].

        Raises:
            EspdlError: for less than a frame, more than one channel, other types, and values that are not finite.
        """
        array = as_samples(samples)
        count = self.frames(len(array))
        if not count:
            raise EspdlError(
                "the recording is shorter than a frame",
                why=f"{len(array)} samples, a frame has {self.config.window_size}",
                hint="a shorter frame_length, or padding with zeros",
            )
        return self.of_frames(array, count)

    __call__ = process

    def of_frames(self, array: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Features of the first ``count`` frames of samples that :func:`as_samples` has checked; float32 [count, dim]."""
        result = np.empty((count, self.dim), np.float32)
        if not count:
            return result
        config = self.config
        framed = sliding_window_view(array, config.window_size)[:: config.shift_size]
        block = max(1, min(count, _BLOCK_VALUES // config.fft_size))
        padded = np.zeros((block, config.fft_size), np.float32)
        for first in range(0, count, block):
            part = slice(first, min(first + block, count))
            here = padded[: part.stop - first]
            here[:, : config.window_size] = framed[part]
            self._one_block(here, result[part])
        return result

    def _one_block(self, padded: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        """Steps 1 to 9 of runtime spec 8.3 on frames [count, fft_size], which are overwritten."""
        config = self.config
        frames = padded[:, : config.window_size]
        if config.remove_dc_offset:
            frames -= (np.add.reduce(frames, axis=1) / np.float32(config.window_size))[:, np.newaxis]
        energy = self._log_energy(frames) if config.raw_energy else None
        if config.preemphasis > 1e-7:
            factor = np.float32(config.preemphasis)
            before = frames[:, :-1] * factor
            frames[:, 1:] -= before
            frames[:, 0] -= factor * frames[:, 0]
        if self._window is not None:
            frames *= self._window
        if energy is None:
            energy = self._log_energy(frames)
        transform = rfft_f32(padded) if self._chip_fft else np.fft.rfft(padded).view(np.float32).reshape(len(padded), -1, 2)
        transform *= transform
        spectrum = np.empty((self.bins, len(padded)), np.float32)
        np.add(transform[..., 0].T, transform[..., 1].T, out=spectrum)
        if not config.use_power:
            np.sqrt(spectrum, out=spectrum)
        self._finish(spectrum, energy, result)

    @abstractmethod
    def _finish(self, spectrum: NDArray[np.float32], energy: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        """From the spectrum [bins, count] and the log energies [count] to features [count, dim]."""

    @property
    def _wants_energy(self) -> bool:
        return self.config.use_energy

    def _log_energy(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._wants_energy:
            return np.empty(0, np.float32)
        return self._floored_log(np.add.reduce(frames * frames, axis=1))

    def _floored_log(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        np.maximum(values, np.float32(self.config.log_epsilon), out=values)
        return np.log(values, out=values)


class Fbank(SpeechFeature):
    """Energies of a mel filter bank: float32 [frames, num_mel_bins], the log energy in front with ``use_energy``."""

    def __init__(self, config: SpeechFeatureConfig | None = None, *, chip_fft: bool = False, **fields: Any) -> None:
        super().__init__(config, chip_fft=chip_fft, **fields)
        low, high = self.config.mel_range
        self.bank = MelBank.make(self.config.num_mel_bins, self.bins, self.config.sample_rate, low, high)

    @property
    def dim(self) -> int:
        return self.config.num_mel_bins + self.config.use_energy

    def _finish(self, spectrum: NDArray[np.float32], energy: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        result[:, int(self.config.use_energy) :] = self._mel(spectrum).T
        if self.config.use_energy:
            result[:, 0] = energy

    def _mel(self, spectrum: NDArray[np.float32]) -> NDArray[np.float32]:
        energies = self.bank.energies(spectrum)
        match self.config.use_log_fbank:
            case 0:
                return energies
            case 1:
                return self._floored_log(energies)
            case _:
                return np.log(energies + np.float32(self.config.log_epsilon))


class MFCC(Fbank):
    """Mel-frequency cepstral coefficients: float32 [frames, num_ceps], the log energy in front of C0 with ``use_energy``.

    Power spectrum and logarithms are forced (runtime spec 8.5).

    Raises:
        EspdlError: for more coefficients than filters, or more filters than the chip's work space holds.
    """

    forced = {"use_power": True, "use_log_fbank": 1}

    def __init__(self, config: SpeechFeatureConfig | None = None, *, chip_fft: bool = False, **fields: Any) -> None:
        super().__init__(config, chip_fft=chip_fft, **fields)
        filters, count = self.config.num_mel_bins, self.config.num_ceps
        if count > filters:
            raise EspdlError(f"{count} coefficients cannot come from {filters} filters", hint="a lower num_ceps")
        if self.bins + filters > self.config.fft_size:
            raise EspdlError(
                f"{filters} mel filters do not fit beside a spectrum of {self.bins} bins",
                why=f"the chip keeps both in the {self.config.fft_size} values of its transform",
                hint="fewer num_mel_bins, or a longer frame_length",
            )
        rows, columns = np.arange(count)[:, np.newaxis], np.arange(filters)
        transform = np.sqrt(2 / filters) * np.cos(np.pi / filters * (columns + 0.5) * rows)
        transform[0] = np.sqrt(1 / filters)
        self._transform = transform.astype(np.float32)
        quefrency = self.config.cepstral_lifter
        lifter = 1 + 0.5 * quefrency * np.sin(np.pi * rows / quefrency) if quefrency else np.ones((count, 1))
        self._lifter = lifter.astype(np.float32)

    @property
    def dim(self) -> int:
        return self.config.num_ceps + self.config.use_energy

    def _mel(self, spectrum: NDArray[np.float32]) -> NDArray[np.float32]:
        logarithms = super()._mel(spectrum)
        sums = np.zeros((self.config.num_ceps, spectrum.shape[1]), np.float32)
        for column, values in zip(self._transform.T, logarithms, strict=True):  # in order: the sum of a frame is always the same
            sums += column[:, np.newaxis] * values
        return sums * self._lifter


class Spectrogram(SpeechFeature):
    """Logarithms of the power spectrum: float32 [frames, fft_size / 2 + 1], element 0 being the log energy of the frame.

    Power spectrum and logarithms are forced (runtime spec 8.5).
    """

    forced = {"use_power": True, "use_log_fbank": 1}

    @property
    def dim(self) -> int:
        return self.bins

    @property
    def _wants_energy(self) -> bool:
        return True

    def _finish(self, spectrum: NDArray[np.float32], energy: NDArray[np.float32], result: NDArray[np.float32]) -> None:
        result[:] = self._floored_log(spectrum).T
        result[:, 0] = energy


def as_samples(samples: ArrayLike) -> NDArray[np.float32]:
    """One channel of samples as float32 [n]; int16 is divided by 32768.

    Raises:
        EspdlError: for other types, several channels, and values that are not finite.
    """
    array = np.asarray(samples)
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise EspdlError("features are computed of one channel", why=f"the samples have shape {list(array.shape)}")
    if array.dtype == np.int16:
        return array.astype(np.float32) * INT16_SCALE
    if array.dtype.kind != "f" and array.size:
        raise EspdlError(
            f"samples of type {array.dtype} have no known scale",
            hint="int16, or floats with full scale [-1, 1]; Wav.mono() gives them",
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        position = int(np.argmin(finite))
        raise EspdlError("the samples hold a value that is not finite", where=f"sample {position}", why=str(array[position]))
    return array
