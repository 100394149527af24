"""Which axes of a streaming model's inputs and outputs are time, where its file does not say so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from espdl.dl.module.reshape import View
from espdl.dl.module.streaming_cache import StreamingCache
from espdl.dl.module.transpose import Transpose
from espdl.dl.operators import Operator
from espdl.errors import EspdlError

if TYPE_CHECKING:
    from espdl.dl.model import Model


@dataclass(frozen=True)
class InputFrames:
    """An input that is fed in chunks.

    Attributes:
        axis: its time axis in the file.
        frames: of a chunk.
    """

    axis: int
    frames: int


@dataclass(frozen=True)
class OutputFrames:
    """An output of a model that streams.

    Attributes:
        axis: its time axis in the file; None for an output without frames, made anew in every run.
        frames: of a run.
        delay: frame s of the stream is frame ``s - delay`` of a whole run; None where the file does not tell.
        first: the first frame of a whole run that the stream gives, too; None where it gives none.
        ahead: the last frames of a whole run that the stream does not give, because the network looks ahead.
        exact: of an output without frames: whether it is that of a whole run over the frames so far.
    """

    axis: int | None = None
    frames: int = 0
    delay: int | None = None
    first: int | None = None
    ahead: int = 0
    exact: bool = True


def find_time_axes(model: Model) -> tuple[dict[str, InputFrames], dict[str, OutputFrames]]:
    """Tries every axis of every input at twice its length: with time, and nothing else, all caches take longer frames.

    Raises:
        EspdlError: when no axis is found.
    """
    plain = model.clone()
    names = [name for name in plain.variable_names if name not in plain.get_inputs()]
    caches = {
        operator.outputs[0]: operator.module.frame_axis
        for operator in model.operators
        if isinstance(operator.module, StreamingCache)
    }
    if not caches:
        raise EspdlError("the model does not stream", why="it has no StreamingCache, and its file says nothing of time")
    before = {name: plain.get_intermediate(name).shape for name in names}
    inputs: dict[str, InputFrames] = {}
    outputs = {name: OutputFrames() for name in model.get_outputs()}
    for name, tensor in model.get_inputs().items():
        for axis, size in enumerate(tensor.shape):
            longer = _with_shape(model, name, [*tensor.shape[:axis], 2 * size, *tensor.shape[axis + 1 :]])
            if longer is None:
                continue
            grown = {other: longer.get_intermediate(other).shape for other in names}
            if not any(_grew(before[cache], grown[cache]) == place % len(before[cache]) for cache, place in caches.items()):
                continue
            inputs[name] = InputFrames(axis, size)
            for output in outputs:
                if (place := _grew(before[output], grown[output])) is not None:
                    outputs[output] = OutputFrames(place, before[output][place])
            break
    return (inputs, outputs) if inputs else _traced(plain)


def _traced(model: Model) -> tuple[dict[str, InputFrames], dict[str, OutputFrames]]:
    """For a model with other sizes written into it: from the caches back to the inputs, and from those on to the outputs."""
    sources = {name: node.input for node in model.fbs_model.record.graph.node for name in node.output if name}
    writers = {name: operator for operator in model.operators for name in operator.produces}
    shapes = {name: model.get_intermediate(name).shape for name in model.variable_names}
    axes: dict[str, int] = {}
    for operator in model.operators:
        if isinstance(operator.module, StreamingCache):
            name, axis = sources[operator.outputs[0]][0], operator.module.frame_axis
            while name in writers and axis >= 0:
                before = sources[name][0]
                axis = _before(writers[name], axis, shapes[name], shapes.get(before, []))
                name = before
            if axis >= 0 and name in model.get_inputs():
                axes[name] = axis
    if not axes:
        raise EspdlError("no input of the model has a time axis", why="none leads to a StreamingCache, or can be longer")
    inputs = {name: InputFrames(axis, shapes[name][axis]) for name, axis in axes.items()}
    for name, operator in writers.items():
        known = next((source for source in sources[name] if source in axes), None)
        if known is not None:
            after = range(len(shapes[name]))
            place = next((axis for axis in after if _before(operator, axis, shapes[name], shapes[known]) == axes[known]), None)
            axes |= {name: place} if place is not None else {}
    outputs = {
        name: OutputFrames(axes[name], shapes[name][axes[name]]) if name in axes else OutputFrames()
        for name in model.get_outputs()
    }
    return inputs, outputs


def _before(operator: Operator, axis: int, after: list[int], before: list[int]) -> int:
    """Which axis of an operator's first input is ``axis`` of its result; -1 where that cannot be said."""
    module = operator.module
    if isinstance(module, Transpose):
        return int(module.perm[axis])
    if isinstance(module, View) or len(after) != len(before):
        return -1
    return axis


def _with_shape(model: Model, name: str, shape: list[int]) -> Model | None:
    """The model with an input of another shape; None where that does not fit."""
    try:
        other = model.clone()
        other.build(input_shapes={name: shape})
    except EspdlError:
        return None
    return other


def _grew(before: list[int], after: list[int]) -> int | None:
    """The only axis that is longer."""
    if len(before) != len(after):
        return None
    differing = [axis for axis, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return differing[0] if len(differing) == 1 and after[differing[0]] > before[differing[0]] else None
