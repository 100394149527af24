"""What is in every tensor of a file, and how its integers differ from the float network."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.batch import default_threads
from espdl.free_memory import give_back_memory
from espdl.progress import track
from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.graphwise import STEPS
from espdl.quantize.emitter import Stored
from espdl.quantize.float_run import PIECE, FloatRun
from espdl.quantize.shelf import Shelf
from espdl.quantize.test_values import from_file

AT_ONCE = 1 << 16
"""Elements whose powers are computed together: more would take much memory, and the caches would not hold them."""


@dataclass(frozen=True)
class TensorStatistics:
    """One tensor over all samples. Real values; noise is integer run minus float network.

    Attributes:
        name: in the network.
        made_by: type and name of the node that writes it, empty for an input.
        bits, exponent: how it is stored.
        low, high: the smallest and largest real value it can hold.
        smallest, largest: the smallest and largest value of the float network.
        saturated: share of the values of the float network beyond ``low`` or ``high``.
        noise_to_signal: powers; all errors before it are included.
        noise_mean, noise_std, noise_skewness, noise_kurtosis: a normal distribution has skewness 0 and kurtosis 3.
        signal_mean, signal_std, signal_skewness, signal_kurtosis: of the float network.
    """

    name: str
    made_by: str
    bits: int
    exponent: int
    low: float
    high: float
    smallest: float
    largest: float
    saturated: float
    noise_to_signal: float
    noise_mean: float
    noise_std: float
    noise_skewness: float
    noise_kurtosis: float
    signal_mean: float
    signal_std: float
    signal_skewness: float
    signal_kurtosis: float

    @property
    def used(self) -> float:
        """Largest magnitude of the float network against the largest that can be stored: below 0.5 a finer exponent would do."""
        return max(-self.smallest, self.largest, 0.0) / -self.low

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def statistics(compared: Compared, steps: int | None = STEPS) -> list[TensorStatistics]:
    """Statistics of every integer tensor of a file that the network has, too, in running order.

    Args:
        compared: file, network and samples.
        steps: number of samples; all when None.
    """
    places = {name: place for name, place in compared.stored.items() if place.format[0]}
    writers = {value.name: f"{node.op_type} {node.name}" for node in compared.network.graph for value in node.outputs}
    sums: dict[str, _Sums] = {}
    samples, exhausted = track(islice(iter(compared.samples), steps), "Collecting statistics", steps), False
    while not exhausted:
        with Shelf() as shelf:  # so that the file's kernels are not in memory beside the float network
            while not shelf.is_full and (sample := next(samples, None)) is not None:
                shelf.put("raw", (sample, compared.integers(sample, places)))
            exhausted = not shelf.is_full
            compared.unload()
            _add_up(sums, shelf, FloatRun(compared.network, list(places), threads=1, piece=PIECE // 4), places)
    return [_finish(name, writers.get(name, ""), place, sums[name]) for name, place in places.items() if name in sums]


def _add_up(sums: dict[str, _Sums], shelf: Shelf, floating: FloatRun, places: Mapping[str, Stored]) -> None:
    """Adds the tensors of all samples on a shelf, several of one sample at a time, so that there is only one sample's in memory."""
    with ThreadPoolExecutor(default_threads()) as pool:
        for sample, raw in shelf.take("raw"):
            for tensors in floating.pieces(sample):
                work = [(name, pool.submit(_Sums.of, tensors.pop(name), raw.pop(name), places[name])) for name in list(tensors)]
                for name, new in work:
                    sums[name] = sums[name] + new.result() if name in sums else new.result()
                del work
            give_back_memory()  # the threads would keep it


@dataclass
class _Sums:
    """Sums over the elements of a tensor: number, extremes, beyond the range, powers 1 to 4 of signal and noise."""

    count: int
    smallest: float
    largest: float
    beyond: int
    signal: NDArray[np.float64]
    noise: NDArray[np.float64]

    @staticmethod
    def of(exact: NDArray, raw: NDArray, place: Stored) -> _Sums:
        low, high = _limits(place)
        beyond, smallest, largest = 0, np.inf, -np.inf
        for _, held in [(..., exact)] if place.scale is None else place.scale.pieces_of(exact):
            beyond += int(np.count_nonzero((held < low) | (held > high)))
            smallest, largest = min(smallest, float(held.min(initial=np.inf))), max(largest, float(held.max(initial=-np.inf)))
        noise = (from_file(raw, place) - exact).reshape(-1)
        return _Sums(exact.size, smallest, largest, beyond, _powers(exact.reshape(-1)), _powers(noise))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            self.count + other.count,
            min(self.smallest, other.smallest),
            max(self.largest, other.largest),
            self.beyond + other.beyond,
            self.signal + other.signal,
            self.noise + other.noise,
        )


def _powers(values: NDArray) -> NDArray[np.float64]:
    """Sums of a vector and of its squares, cubes and fourth powers; of a long one by halves, cut where NumPy's own sum cuts it."""
    if values.size > AT_ONCE:
        half = values.size // 2
        half -= half % 8
        return _powers(values[:half]) + _powers(values[half:])
    flat = values.astype(np.float64)
    squares = flat * flat
    return np.array([flat.sum(), squares.sum(), (squares * flat).sum(), np.square(squares).sum()])


def _limits(place: Stored) -> tuple[float, float]:
    bits, exponent = place.format
    return float(np.ldexp(-(2.0 ** (bits - 1)), exponent)), float(np.ldexp(2.0 ** (bits - 1) - 1, exponent))


def _finish(name: str, made_by: str, place: Stored, sums: _Sums) -> TensorStatistics:
    low, high = _limits(place)
    return TensorStatistics(
        name,
        made_by,
        *place.format,
        low,
        high,
        sums.smallest,
        sums.largest,
        sums.beyond / max(sums.count, 1),
        float(sums.noise[1]) / (float(sums.signal[1]) or np.finfo(np.float64).tiny),
        *_moments(sums.noise, sums.count),
        *_moments(sums.signal, sums.count),
    )


def _moments(powers: NDArray[np.float64], count: int) -> tuple[float, float, float, float]:
    """Mean, standard deviation, skewness and kurtosis from sums of powers."""
    mean, second, third, fourth = (float(total) / max(count, 1) for total in powers)
    variance = max(second - mean**2, 0.0)
    if variance <= 1e-12 * max(second, 1e-300):
        return mean, 0.0, 0.0, 0.0
    skewness = (third - 3 * mean * second + 2 * mean**3) / variance**1.5
    kurtosis = (fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4) / variance**2
    return mean, variance**0.5, skewness, kurtosis
