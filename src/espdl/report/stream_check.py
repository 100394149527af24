"""Whether a file for chunks gives, bit for bit, the frames that the file for the whole recording gives; and if not, from where on not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.feeding import assign_inputs
from espdl.dl.model import Model
from espdl.dl.module.streaming_cache import StreamingCache
from espdl.dl.streaming import STREAMING_KEY, StreamingSession
from espdl.dl.time_axes import OutputFrames
from espdl.errors import EspdlError
from espdl.report.stream_causes import find_cause
from espdl.wording import counted

RANDOM_RECORDINGS = 4

FLOAT_TOLERANCE = 2.0**-18
"""How far numbers of a float file may differ and are called equal, as a share of the largest in the output."""


@dataclass(frozen=True)
class Difference:
    """The first frame that differs.

    Attributes:
        recording, chunking: of which data, fed how.
        output: its name.
        frame: of the whole run; None for an output without frames.
        expected, got: the first integer there that differs, in the whole run and in the stream.
        count: integers that differ in this output.
    """

    recording: int
    chunking: str
    output: str
    frame: int | None
    expected: float
    got: float
    count: int


@dataclass(frozen=True)
class OutputCheck:
    """What was compared of one output.

    Attributes:
        frames: of the whole run; 0 for an output without frames.
        compared: of them, in every recording and chunking.
        delay: frame s of the stream is frame ``s - delay`` of the whole run.
        told: whether the file tells the delay, or it was taken from the numbers of frames.
        warm_up, ahead: frames at the beginning and the end of the whole run that the stream does not give.
        why_not: why nothing of it is compared; empty where something is.
    """

    frames: int
    compared: int
    delay: int
    told: bool
    warm_up: int
    ahead: int
    why_not: str = ""


@dataclass(frozen=True)
class StreamCheck:
    """The outcome.

    Attributes:
        chunkings: how the recordings were cut, in words.
        outputs: by name.
        compared: numbers compared, over all recordings and chunkings: integers, unless the files are float ones.
        difference: the first one; None where all are equal.
        cause: where it comes from, as far as the two files tell; empty without a difference.
    """

    recordings: int
    chunk: Mapping[str, int]
    latency: int
    chunkings: tuple[str, ...]
    outputs: Mapping[str, OutputCheck]
    compared: int
    difference: Difference | None
    cause: str

    @property
    def passed(self) -> bool:
        return self.difference is None

    def to_dict(self) -> dict[str, Any]:
        return {"passed": self.passed, **asdict(self)}


def check_streaming(
    offline: Model,
    stream: Model,
    recordings: Sequence[Mapping[str, NDArray]] | None = None,
    states: Mapping[str, str] | None = None,
) -> StreamCheck:
    """Runs whole recordings through one model and pieces of them through the other, and compares what comes out.

    Args:
        offline: of the whole network.
        stream: of chunks.
        recordings: arrays by input name in the files' order of axes, as long as the inputs of ``offline``; random integers when None.
        states: outputs that become inputs of the next run, as of :class:`espdl.dl.StreamingSession`; they begin as in a recording.

    Raises:
        EspdlError: when the files are not of one network, or a recording does not fit.
    """
    session = StreamingSession(stream, states=states)
    _require_one_network(offline, session)
    given = _random(offline) if recordings is None else recordings
    outputs = {name: _plan(name, session, offline) for name in stream.get_outputs()}
    compared, difference, cause = 0, None, ""
    cuts = dict(_chunkings(session, offline))
    for number, recording in enumerate(given):
        offline.reset()
        whole = offline.run_arrays(recording)
        raw = _raw(offline, recording)
        for words, sizes in cuts.items():
            got = _streamed(session, raw, sizes)
            if not number and not compared:
                outputs = {name: _with_measured_warm_up(plan, session, name, whole, got) for name, plan in outputs.items()}
            for name, plan in outputs.items():
                if plan.why_not:
                    continue
                entry = session.streaming.outputs[name]
                expected, frames = _cut(plan, entry, whole[name], got[name])
                compared += expected.size
                if difference is None and (found := _first_difference(expected, frames, entry.axis)) is not None:
                    frame = None if entry.axis is None else plan.warm_up + found[0]
                    difference = Difference(number, words, name, frame, *found[1:])
        if difference is not None:
            cause = find_cause(offline, session, recording, raw)
            break
    if not compared:
        reasons = "; ".join(f"{name}: {plan.why_not}" for name, plan in outputs.items())
        raise EspdlError(
            "there is nothing to compare", why=reasons, hint="a longer whole run, or larger windows in streaming_table"
        )
    return StreamCheck(len(given), session.chunk, session.latency, tuple(cuts), outputs, compared, difference, cause)


def _require_one_network(offline: Model, session: StreamingSession) -> None:
    if offline.get_metadata_prop(STREAMING_KEY):
        raise EspdlError("the first file is one for chunks, too", hint="first the file of the whole network, then that of chunks")
    for kind, ours, theirs in (
        ("inputs", offline.get_inputs(), session.model.get_inputs()),
        ("outputs", offline.get_outputs(), session.model.get_outputs()),
    ):
        if ours.keys() != theirs.keys():
            raise EspdlError(
                f"the two files have different {kind}: {', '.join(ours)} and {', '.join(theirs)}", hint="files of one network"
            )
    if offline.chip.name != session.model.chip.name and offline.chip.rounding != session.model.chip.rounding:
        raise EspdlError(f"the files are for {offline.chip.name} and {session.model.chip.name}", hint="files for one chip")
    for name, tensor in session.model.get_inputs().items():
        entry, other = session.streaming.inputs.get(name), offline.get_inputs()[name]
        differing = {axis for axis, (a, b) in enumerate(zip(tensor.shape, other.shape, strict=False)) if a != b}
        if len(tensor.shape) != len(other.shape) or differing - ({entry.axis} if entry is not None else set()):
            raise EspdlError(f"input {name!r} has shape {other.shape} in one file and {tensor.shape} in the other")
        if (tensor.dtype, tensor.exponent) != (other.dtype, other.exponent):
            raise EspdlError(
                f"input {name!r} has exponent {int(other.exponent)} in one file and {int(tensor.exponent)} in the other",
                why="they were calibrated differently",
                hint="make both from one quantized network: QuantizedModel.streaming()",
            )


def _random(offline: Model) -> list[dict[str, NDArray]]:
    """Full-range integers, the same ones every time."""
    generator = np.random.default_rng(0)
    return [
        {name: _numbers(generator, tensor.shape, tensor.dtype.numpy) for name, tensor in offline.get_inputs().items()}
        for _ in range(RANDOM_RECORDINGS)
    ]


def _numbers(generator: np.random.Generator, shape: Sequence[int], dtype: Any) -> NDArray:
    if np.dtype(dtype).kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    if np.dtype(dtype).kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return generator.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def _raw(offline: Model, recording: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """A recording as the integers that the whole run takes."""
    assign_inputs(offline.get_inputs(), recording, offline.chip.rounding)
    return {name: tensor.data.copy() for name, tensor in offline.get_inputs().items()}


def _plan(name: str, session: StreamingSession, offline: Model) -> OutputCheck:
    entry, shape = session.streaming.outputs[name], offline.get_outputs()[name].shape
    if entry.axis is None:
        whole_chunks = all(
            offline.get_inputs()[key].shape[item.axis] % item.frames == 0 for key, item in session.streaming.inputs.items()
        )
        why = "" if entry.exact else "it is made from other frames than in a whole run"
        return OutputCheck(0, 0, 0, True, 0, 0, why if whole_chunks else "no run ends where the recording ends")
    length = shape[entry.axis]
    lengths = {key: offline.get_inputs()[key].shape[item.axis] for key, item in session.streaming.inputs.items()}
    runs, in_all = min(
        (lengths[key] // item.frames, lengths[key] / item.frames) for key, item in session.streaming.inputs.items()
    )
    streamed = runs * entry.frames
    told = entry.delay is not None
    delay = entry.delay if entry.delay is not None else int(in_all * entry.frames) - length
    if told and entry.first is None:
        return OutputCheck(length, 0, delay, True, length, 0, "it is made from other frames than in a whole run")
    first = max(entry.first or 0, -delay)
    end = min(length - entry.ahead, streamed - delay)
    compared = max(end - first, 0)
    why = "" if compared else "the whole run is shorter than what the stream needs to begin and to end"
    return OutputCheck(length, compared, delay, told, first, max(length - end, 0), why)


def _with_measured_warm_up(
    plan: OutputCheck, session: StreamingSession, name: str, whole: Mapping[str, NDArray], got: Mapping[str, NDArray]
) -> OutputCheck:
    """A plan that leaves out the first frames where they differ and the file does not tell: no more than its caches reach."""
    entry = session.streaming.outputs[name]
    if plan.told or not plan.compared or entry.axis is None:
        return plan
    expected, frames = _cut(plan, entry, whole[name], got[name])
    differs = np.moveaxis(expected != frames, entry.axis, 0).reshape(plan.compared, -1).any(axis=1)
    lost = int(np.flatnonzero(differs)[-1]) + 1 if differs.any() else 0
    reach = 0
    unrun = session.model.clone()
    for operator in unrun.operators:
        if isinstance(module := operator.module, StreamingCache):
            kept = module.window_size - 1
            own = unrun.get_intermediate(operator.outputs[0]).shape[module.frame_axis] - kept
            reach += -(-kept * entry.frames // own)
    if not 0 < lost <= min(reach, plan.compared - 1):
        return plan
    return replace(plan, warm_up=plan.warm_up + lost, compared=plan.compared - lost)


def _chunkings(session: StreamingSession, offline: Model) -> Iterator[tuple[str, list[int]]]:
    """Numbers of frames that are pushed at a time, of the first input: as the model takes them, one by one, all at once, unevenly."""
    name, entry = next(iter(session.streaming.inputs.items()))
    total = offline.get_inputs()[name].shape[entry.axis]

    def even(size: int) -> list[int]:
        return [min(size, total - start) for start in range(0, total, size)]

    yield f"{counted(entry.frames, 'frame')} at a time", even(entry.frames)
    if entry.frames > 1:
        yield "1 frame at a time", even(1)
    yield f"{entry.frames + 1} frames at a time", even(entry.frames + 1)
    yield f"all {total} frames at once", [total]
    generator, uneven = np.random.default_rng(total), list[int]()
    while sum(uneven) < total:
        uneven.append(min(int(generator.integers(0, 2 * entry.frames + 2)), total - sum(uneven)))
    yield "uneven pieces", uneven


def _streamed(session: StreamingSession, recording: Mapping[str, NDArray], sizes: Sequence[int]) -> dict[str, NDArray]:
    """Pushes a recording piece by piece; inputs of other lengths in proportion, those without time first."""
    session.reset()
    entries = session.streaming.inputs
    first = next(iter(entries))
    fixed = {name: array for name, array in recording.items() if name not in entries}
    parts: dict[str, list[NDArray]] = {name: [] for name in session.model.get_outputs()}
    start = 0
    for size in sizes:
        pieces = dict(fixed) if start == 0 else {}
        for name, entry in entries.items():
            begin, end = (-(-at * entry.frames // entries[first].frames) for at in (start, start + size))
            pieces[name] = recording[name][(*(slice(None),) * entry.axis, slice(begin, end))]
        for name, array in session.push(pieces).items():
            parts[name].append(array)
        start += size
    return {
        name: np.concatenate(arrays, axis if (axis := session.streaming.outputs[name].axis) is not None else 0)
        for name, arrays in parts.items()
    }


def _cut(plan: OutputCheck, entry: OutputFrames, whole: NDArray, got: NDArray) -> tuple[NDArray, NDArray]:
    """The frames that must be equal; of an output without frames the last run's."""
    if entry.axis is None:
        return whole, got[-whole.shape[0] :].reshape(whole.shape) if got.size else got
    before = (slice(None),) * entry.axis
    end = plan.warm_up + plan.compared
    return whole[(*before, slice(plan.warm_up, end))], got[(*before, slice(plan.warm_up + plan.delay, end + plan.delay))]


def _first_difference(expected: NDArray, got: NDArray, axis: int | None) -> tuple[int, float, float, int] | None:
    """Frame, both numbers there, and how many differ in all; None where nothing does."""
    if expected.shape != got.shape:
        raise EspdlError(f"the stream gave shape {list(got.shape)}, not {list(expected.shape)}")
    differs = expected != got
    if expected.dtype.kind == "f":
        # Sums of floats depend on their order, and that on how many frames are computed at once.
        differs &= ~(np.abs(expected - got) <= FLOAT_TOLERANCE * np.abs(expected).max(initial=0.0))
    if not differs.any():
        return None
    rows = np.moveaxis(differs, axis or 0, 0)
    frame = int(np.flatnonzero(rows.reshape(len(rows), -1).any(axis=1))[0])
    place = int(np.flatnonzero(rows[frame])[0])
    wanted, found = (np.moveaxis(array, axis or 0, 0)[frame].reshape(-1)[place].item() for array in (expected, got))
    return frame, wanted, found, int(differs.sum())
