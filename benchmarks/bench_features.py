"""Speech features of a minute of 16 kHz sound: milliseconds, and beside kaldi-native-fbank where it is installed.

Times are the best of several repeats, taken in turns so that both meet the same machine. Exit code 1 when fbank takes longer than 60 ms or
than 1.5 times kaldi-native-fbank.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from espdl.audio import MFCC, Fbank, FeatureStream, Spectrogram, read_wav

RATE, SECONDS = 16000, 60
LIMIT_MS, LIMIT_RATIO = 60.0, 1.5


def sound(wav: Path | None) -> NDArray[np.float32]:
    """A minute of the recording, repeated as often as needed; noise without one."""
    if wav is None:
        return np.random.default_rng(0).standard_normal(RATE * SECONDS).astype(np.float32) / 10
    return np.resize(read_wav(wav).mono(), RATE * SECONDS)


def stream(samples: NDArray[np.float32]) -> None:
    pushes = FeatureStream(Fbank())
    for start in range(0, len(samples), RATE // 50):
        pushes.push(samples[start : start + RATE // 50])


def kaldi(samples: NDArray[np.float32]) -> Callable[[], object] | None:
    try:
        import kaldi_native_fbank as native
    except ImportError:
        return None

    def run() -> NDArray[np.float32]:
        options = native.FbankOptions()
        options.frame_opts.dither = 0
        options.frame_opts.window_type = "hanning"
        options.mel_opts.num_bins = 26
        options.mel_opts.low_freq, options.mel_opts.high_freq = 80, 0
        options.energy_floor = 1.1920928955078125e-07
        computer = native.OnlineFbank(options)
        computer.accept_waveform(RATE, samples)
        computer.input_finished()
        return np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)])

    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wav", type=Path, help="a 16 kHz recording; noise without one")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    samples = sound(arguments.wav)
    works: dict[str, Callable[[], object]] = {
        "fbank": lambda: Fbank().process(samples),
        "fbank, 80 filters": lambda: Fbank(num_mel_bins=80).process(samples),
        "mfcc": lambda: MFCC().process(samples),
        "spectrogram": lambda: Spectrogram().process(samples),
        "fbank, stream of 20 ms": lambda: stream(samples),
    }
    reference = kaldi(samples)
    if reference:
        works["kaldi-native-fbank"] = reference
        error = np.abs(np.asarray(works["fbank"]()) - np.asarray(reference()))
        print(f"against kaldi-native-fbank: largest difference {error.max():.2e}, mean {error.mean():.2e}")
    best = dict.fromkeys(works, float("inf"))
    for _ in range(arguments.repeats):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], 1000 * (time.perf_counter() - start))
    for name, milliseconds in best.items():
        print(f"{name:<24}{milliseconds:8.1f} ms   {SECONDS * 1000 / milliseconds:6.0f} times real time")
    ratio = best["fbank"] / best["kaldi-native-fbank"] if reference else None
    if ratio is not None:
        print(f"fbank takes {ratio:.2f} times as long as kaldi-native-fbank")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"milliseconds": best, "ratio": ratio}, indent=1))
    return int(best["fbank"] > LIMIT_MS or (ratio is not None and ratio > LIMIT_RATIO))


if __name__ == "__main__":
    sys.exit(main())
