"""Speech features by loops in double precision, straight from their definitions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from espdl.audio import SpeechFeatureConfig, WindowType


def mel(frequency: float) -> float:
    return 1127 * math.log(1 + frequency / 700)


def weight(kind: WindowType | str, i: int, n: int) -> float:
    a = 2 * math.pi / (n - 1)
    match kind:
        case WindowType.HANN:
            return 0.5 - 0.5 * math.cos(2 * math.pi / n * i)
        case WindowType.HANNING:
            return 0.5 - 0.5 * math.cos(a * i)
        case WindowType.SINE:
            return math.sin(0.5 * a * i)
        case WindowType.HAMMING:
            return 0.54 - 0.46 * math.cos(a * i)
        case WindowType.POVEY:
            return (0.5 - 0.5 * math.cos(a * i)) ** 0.85
        case WindowType.BLACKMAN:
            return 0.42 - 0.5 * math.cos(a * i) + 0.08 * math.cos(2 * a * i)
        case _:
            return 1.0


def frame_features(frame: list[float], config: SpeechFeatureConfig, kind: str) -> list[float]:
    """Features of one frame of ``window_size`` samples."""
    x = list(frame)
    n = len(x)
    if config.remove_dc_offset:
        mean = sum(x) / n
        x = [v - mean for v in x]
    energy = sum(v * v for v in x)
    if config.preemphasis > 1e-7:
        x = [x[i] - config.preemphasis * x[max(i - 1, 0)] for i in range(n)]
    x = [v * weight(config.window_type, i, n) for i, v in enumerate(x)]
    if not config.raw_energy:
        energy = sum(v * v for v in x)
    log_energy = math.log(max(energy, config.log_epsilon))
    bins = config.fft_size // 2 + 1
    power = np.abs(np.fft.fft(x, config.fft_size)[:bins]) ** 2
    if kind == "spectrogram":
        return [log_energy, *(math.log(max(p, config.log_epsilon)) for p in power[1:])]
    spectrum = power if config.use_power or kind == "mfcc" else np.sqrt(power)
    low, high = config.mel_range
    edges = [mel(low) + (mel(high) - mel(low)) / (config.num_mel_bins + 1) * i for i in range(config.num_mel_bins + 2)]
    energies = []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        total = 0.0
        for k in range(1, bins):
            m = mel(k * config.sample_rate / config.fft_size)
            total += max(0.0, min((m - left) / (centre - left), (right - m) / (right - centre))) * spectrum[k]
        energies.append(total)
    front = [log_energy] if config.use_energy else []
    if kind == "fbank":
        logs = {0: lambda e: e, 1: lambda e: math.log(max(e, config.log_epsilon)), 2: lambda e: math.log(e + config.log_epsilon)}
        return front + [logs[config.use_log_fbank](e) for e in energies]
    logarithms = [math.log(max(e, config.log_epsilon)) for e in energies]
    count, q = len(logarithms), config.cepstral_lifter
    ceps = []
    for k in range(config.num_ceps):
        scale = math.sqrt((1 if k == 0 else 2) / count)
        value = sum(scale * v * math.cos(math.pi / count * (i + 0.5) * k) for i, v in enumerate(logarithms))
        ceps.append(value * (1 + 0.5 * q * math.sin(math.pi * k / q) if q else 1))
    return front + ceps


def features(samples: NDArray, config: SpeechFeatureConfig, kind: str) -> NDArray[np.float64]:
    values = [float(v) for v in samples]
    size, shift = config.window_size, config.shift_size
    starts = range(0, len(values) - size + 1, shift)
    return np.array([frame_features(values[s : s + size], config, kind) for s in starts])
