"""Why the run of a file for chunks departs from that of the whole network: other constants, other exponents, or a tensor from which on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from espdl.dl.model import Model
from espdl.dl.streaming import StreamingSession
from espdl.errors import EspdlError


def find_cause(offline: Model, session: StreamingSession, recording: Mapping[str, NDArray], raw: Mapping[str, NDArray]) -> str:
    """The first thing that is not the same in both files, or the first tensor whose frames differ, in words.

    Args:
        offline, session: of the same network.
        recording: that differs, for the whole run.
        raw: the same as integers.
    """
    return _other_numbers(offline.clone(), session.model.clone()) or _other_frames(offline, session, recording, raw)


def _other_numbers(offline: Model, stream: Model) -> str:
    """Of models that have not run: a tensor with another exponent, or an operator with other constants."""
    theirs = {operator.module.name: operator for operator in stream.operators}
    common = set(stream.variable_names)
    for operator in offline.operators:
        for name in operator.produces:
            if name in common:
                ours, other = offline.get_intermediate(name).exponent, stream.get_intermediate(name).exponent
                if ours != other:
                    return (
                        f"tensor {name!r} has exponent {int(ours)} in the whole network and {int(other)} in the other: "
                        "they were calibrated differently"
                    )
        twin = theirs.get(operator.module.name)
        if (
            twin is None
            or twin.module.op_type != operator.module.op_type
            or operator.module.op_type in ("Slice", "Reshape", "Pad")
        ):
            continue
        for index, tensor in operator.module.parameters.items():
            same = twin.module.parameters.get(index)
            if same is None or tensor.exponent != same.exponent or not np.array_equal(tensor.data, same.data):
                return f"{operator.module.op_type} {operator.module.name!r} has other constants in the two files"
    return ""


def _other_frames(offline: Model, session: StreamingSession, recording: Mapping[str, NDArray], raw: Mapping[str, NDArray]) -> str:
    """The first tensor whose last frames are those of the whole run at no delay, with what it is made from."""
    names = [name for name in session.model.variable_names if name in set(offline.variable_names)]
    names = [name for name in names if name not in session.model.get_inputs()]
    whole = offline.run_arrays(recording, names)
    parts = _all_frames(session, raw, names)
    writers = {name: operator for operator in session.model.operators for name in operator.produces}
    for name in names:
        shapes = zip(parts[name][0].shape, whole[name].shape, strict=False)
        axes = [axis for axis, (short, long) in enumerate(shapes) if short != long]
        if parts[name][0].ndim != whole[name].ndim or len(axes) != 1:
            continue
        frames = np.moveaxis(np.concatenate(parts[name], axes[0]), axes[0], 0)
        if not _follows(np.moveaxis(whole[name], axes[0], 0), frames):
            writer = writers[name]
            return f"tensor {name!r} is the first whose frames differ: see {writer.module.op_type} {writer.module.name!r} and what it reads"
    return "every tensor follows the whole run; the outputs follow it at another delay than the file says"


def _follows(whole: NDArray, frames: NDArray) -> bool:
    """Whether the later half of the frames, shifted by any delay, is that of the whole run."""
    for delay in range(len(frames)):
        length = min(len(whole), len(frames) - delay)
        if length < 1:
            break
        half = length // 2
        if np.array_equal(whole[half:length], frames[delay + half : delay + length]):
            return True
    return False


def _all_frames(session: StreamingSession, raw: Mapping[str, NDArray], names: list[str]) -> dict[str, list[NDArray]]:
    """Every tensor of every run over a recording."""
    session.reset()
    parts: dict[str, list[NDArray]] = {name: [] for name in names}
    entries = session.streaming.inputs
    runs = min(raw[name].shape[entry.axis] // entry.frames for name, entry in entries.items())
    if not runs:
        raise EspdlError("the recording is shorter than a chunk")
    for run in range(runs):
        fed = dict(raw)
        for name, entry in entries.items():
            place = slice(run * entry.frames, (run + 1) * entry.frames)
            fed[name] = raw[name][(*(slice(None),) * entry.axis, place)]
        for name, array in session.model.run_arrays(fed, names).items():
            parts[name].append(array)
    return parts
