"""``StreamingSession``: feeds a model with StreamingCache operators chunks of any length, and gives frames back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.dl.feeding import assign_inputs, layout_hint
from espdl.dl.model import Model
from espdl.dl.time_axes import InputFrames, OutputFrames, find_time_axes
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

STREAMING_KEY = "streaming"
"""Entry of a file's metadata that holds :class:`Streaming` as JSON."""


@dataclass(frozen=True)
class Streaming:
    """How a model streams: its inputs and outputs by name. Inputs that are not named stay the same from run to run."""

    inputs: Mapping[str, InputFrames]
    outputs: Mapping[str, OutputFrames]


def read_streaming(model: Model) -> Streaming:
    """What the file says of streaming, or else what its operators tell (then without delays).

    Raises:
        EspdlError: when it does not stream: there is no StreamingCache in it, or no input whose length is free.
    """
    text = model.get_metadata_prop(STREAMING_KEY)
    if not text:
        return Streaming(*find_time_axes(model))
    try:
        facts = json.loads(text)
        found = Streaming(
            {str(name): InputFrames(**entry) for name, entry in facts["inputs"].items()},
            {str(name): OutputFrames(**entry) for name, entry in facts["outputs"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EspdlError(
            f"the file's metadata {STREAMING_KEY!r} cannot be read", why=f"{type(error).__name__}: {error}"
        ) from None
    _check(found, model)
    return found


def _check(found: Streaming, model: Model) -> None:
    """Compares what a file says with what it holds."""
    wrong = f"the file's metadata {STREAMING_KEY!r} does not fit"
    if not found.inputs or found.outputs.keys() != model.get_outputs().keys():
        raise EspdlError(f"{wrong} its inputs and outputs")
    for kind, tensors, entries in (("input", model.get_inputs(), found.inputs), ("output", model.get_outputs(), found.outputs)):
        for name, entry in entries.items():
            shape = tensors[name].shape if name in tensors else []
            axis = entry.axis
            numbers = [value for value in vars(entry).values() if value is not None]
            fits = axis is None or (0 <= axis < len(shape) and shape[axis] == entry.frames) if _all_whole(numbers) else False
            if name not in tensors or not fits or (axis is None and kind == "input"):
                raise EspdlError(f"{wrong} {kind} {name!r} of shape {shape}")


def _all_whole(numbers: list[Any]) -> bool:
    return all(isinstance(number, int) for number in numbers)


class StreamingSession:
    """A model on a stream.

    >>> session = StreamingSession(Model("tcn_streaming.espdl"))      # doctest: +SKIP
    >>> frames = session.push(recording[:, 0:7])["y"]                 # doctest: +SKIP

    Frames are gathered until they fill a chunk; each chunk is a run of the model, without a reset between.

    Args:
        model: it is reset; nobody else should run it meanwhile.
        states: outputs that become inputs of the next run (of recurrent networks): input by output name. They begin as zeros.

    Attributes:
        streaming: time axes, frames in a run and delays of inputs and outputs.
        runs: since the last reset.

    Raises:
        EspdlError: when the model does not stream.
    """

    def __init__(self, model: Model, *, states: Mapping[str, str] | None = None) -> None:
        if not isinstance(model, Model):
            raise EspdlError(f"a {type(model).__name__} does not stream", hint="StreamingSession(Model(path))")
        self.model = model
        self.streaming = read_streaming(model)
        self.runs = 0
        self._states = dict(states or {})
        self._check_states()
        self._waiting: dict[str, NDArray[Any]] = {}
        self._fixed: dict[str, NDArray[Any]] = {}
        self.reset()

    def _check_states(self) -> None:
        inputs, outputs = self.model.get_inputs(), self.model.get_outputs()
        for source, target in self._states.items():
            if source not in outputs or target not in inputs or target in self.streaming.inputs:
                raise EspdlError(
                    f"state {source!r}: {target!r} is not an output and an input of the model",
                    hint=f"outputs are {', '.join(outputs)}; inputs are {', '.join(inputs)}",
                )
            one, other = outputs[source], inputs[target]
            if (one.dtype, int(one.exponent), one.data.size) != (other.dtype, int(other.exponent), other.data.size):
                raise EspdlError(f"state {source!r} does not fit {target!r}", why="type, exponent or size differ")

    @property
    def chunk(self) -> dict[str, int]:
        """Frames of a run by input name."""
        return {name: entry.frames for name, entry in self.streaming.inputs.items()}

    @property
    def delay(self) -> dict[str, int | None]:
        """By output name: frame s of the stream is frame ``s - delay`` of a whole run. None where the file does not tell, and for
        outputs without frames."""
        return {name: entry.delay for name, entry in self.streaming.outputs.items()}

    @property
    def latency(self) -> int:
        """Frames of the first input from the arrival of one until what depends on it is out at the latest: the rest of its chunk, and
        what the network looks ahead."""
        chunk = next(iter(self.streaming.inputs.values())).frames
        ahead = [
            -(-entry.ahead * chunk // entry.frames) for entry in self.streaming.outputs.values() if entry.frames and entry.ahead
        ]
        return chunk - 1 + max(ahead, default=0)

    @property
    def pending(self) -> int:
        """Frames of the first input that wait for their chunk to be full."""
        name, entry = next(iter(self.streaming.inputs.items()))
        return self._waiting[name].shape[entry.axis]

    def reset(self) -> None:
        """Forgets everything: caches and states are zero, and no frames wait."""
        self.model.reset()
        self.runs = 0
        tensors = self.model.get_inputs()
        self._waiting = {name: self._frames(tensors[name], entry.axis, 0) for name, entry in self.streaming.inputs.items()}
        self._fixed = {target: np.zeros_like(tensors[target].data) for target in self._states.values()}

    @staticmethod
    def _frames(tensor: TensorBase, axis: int, count: int) -> NDArray[Any]:
        shape = list(tensor.shape)
        shape[axis] = count
        return np.zeros(shape, tensor.dtype.numpy)

    def push(self, frames: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
        """Takes new frames and returns those that are finished.

        Args:
            frames: an array for the only input, or arrays by input name: in the file's order of axes, any number of frames on the time
                axis; raw integers of the input's type, or floats to be quantized. Inputs without time axis are given once, and again when
                they change.

        Returns:
            Raw arrays by output name, joined along the time axis, with no frames where no chunk became full. Outputs without frames
            have one entry for each run on their first axis.

        Raises:
            EspdlError: for an array that does not fit.
        """
        given = frames if isinstance(frames, Mapping) else self._only(frames)
        tensors = self.model.get_inputs()
        if unknown := set(given) - set(tensors):
            raise EspdlError(f"the model has no input {min(unknown)!r}", hint="its inputs are " + ", ".join(tensors))
        ready = {name: self._raw(tensors[name], name, np.asarray(array)) for name, array in given.items()}
        for name, array in ready.items():
            if name in self._waiting:
                axis = self.streaming.inputs[name].axis
                self._waiting[name] = np.concatenate([self._waiting[name], array], axis)
            else:
                self._fixed[name] = array
        found: dict[str, list[NDArray[Any]]] = {name: [] for name in self.model.get_outputs()}
        while all(self._waiting[name].shape[entry.axis] >= entry.frames for name, entry in self.streaming.inputs.items()):
            for name, array in self._run().items():
                found[name].append(array)
        return {name: self._joined(name, parts) for name, parts in found.items()}

    def _only(self, frames: ArrayLike) -> Mapping[str, ArrayLike]:
        if len(self.streaming.inputs) != 1:
            raise EspdlError(
                "the model has several inputs in time", hint="give arrays by name: " + ", ".join(self.streaming.inputs)
            )
        return {next(iter(self.streaming.inputs)): frames}

    def _raw(self, tensor: TensorBase, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """An array as the model's integers, whatever its number of frames."""
        entry = self.streaming.inputs.get(name)
        shape = list(tensor.shape)
        if entry is not None:
            if array.ndim != len(shape) or [*array.shape[: entry.axis], *array.shape[entry.axis + 1 :]] != [
                *shape[: entry.axis],
                *shape[entry.axis + 1 :],
            ]:
                shown = ", ".join("frames" if axis == entry.axis else str(size) for axis, size in enumerate(shape))
                raise EspdlError(
                    f"input {name!r} has shape [{shown}], given is {list(array.shape)}",
                    hint=layout_hint(array, tensor, entry.axis),
                )
            shape[entry.axis] = array.shape[entry.axis]
        if not array.size and entry is not None:
            return np.zeros(shape, tensor.dtype.numpy)
        held = TensorBase(shape, None, tensor.exponent, tensor.dtype)
        assign_inputs({name: held}, {name: array}, self.model.chip.rounding)
        return held.data.copy()

    def _run(self) -> dict[str, NDArray[Any]]:
        inputs = dict(self._fixed)
        for name, entry in self.streaming.inputs.items():
            before = (slice(None),) * entry.axis
            waiting = self._waiting[name]
            inputs[name] = waiting[(*before, slice(0, entry.frames))]
            self._waiting[name] = waiting[(*before, slice(entry.frames, None))]
        results = self.model.run_arrays(inputs)
        for source, target in self._states.items():
            self._fixed[target] = results[source].reshape(self._fixed[target].shape)
        self.runs += 1
        return results

    def _joined(self, name: str, parts: list[NDArray[Any]]) -> NDArray[Any]:
        entry = self.streaming.outputs[name]
        tensor = self.model.get_outputs()[name]
        axis = entry.axis if entry.axis is not None else 0
        return np.concatenate(parts, axis) if parts else self._frames(tensor, axis, 0)
