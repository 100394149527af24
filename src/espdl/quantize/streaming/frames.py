"""``Frames``: how the frames of a tensor in a stream follow those of the same tensor in a whole run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

NEVER, ALWAYS = math.inf, -math.inf


@dataclass(frozen=True)
class Frames:
    """A tensor of which every run holds the next few frames.

    Frame ``s`` since the last reset is frame ``s - delay`` of the whole run, for frames from ``first`` up to ``end``. Before the
    first frame of a stream every cache holds zeros, which is what pads of the whole run are.

    Attributes:
        axis: its time axis, in the order of the ONNX network.
        count: frames in a run.
        delay: in frames; negative where the whole run begins with frames that the stream does not give.
        first: the first frame of the whole run that is the same in the stream; ``ALWAYS`` where pads before it are, too, and ``NEVER``
            where no frame is.
        end: the first frame of the whole run that is not the same any more, because pads behind its last frame act on it.
    """

    axis: int
    count: int
    delay: int
    first: float
    end: float

    def computed(self) -> Frames:
        """As the result of a computation, whose value for zeros need not be zero."""
        if self.delay > 0:
            return replace(self, first=max(self.first, 0))
        if self.delay < 0:
            return replace(self, first=max(self.first, -self.delay))
        return replace(self, first=ALWAYS) if self.first <= 0 else self

    def carried(self) -> Frames:
        """As the result of an operator that only moves values: zeros stay zeros."""
        return replace(self, first=max(self.first, 0)) if self.delay > 0 else self

    def moved(self, begin: int) -> Frames:
        """Of the result that leaves out the first ``begin`` frames of the whole run (adds some where negative)."""
        return replace(self, delay=self.delay + begin, first=self.first - begin, end=self.end - begin)

    def enlarged(self, factor: int) -> Frames:
        """Of the result with ``factor`` frames for each."""
        return replace(
            self, count=self.count * factor, delay=self.delay * factor, first=self.first * factor, end=self.end * factor
        )

    def windowed(self, reach: int, stride: int, before: int, zero_pads: bool = True) -> tuple[int, Frames]:
        """Of the result of a window over time, and how many frames before a run's own its windows need (fewer than none: skip some).

        Frame i of the whole run is made from frames ``i * stride - before`` to ``i * stride - before + reach``, where frames below 0 are
        pads. Of a run's n frames with h before them, frame s is made from frames ``s * stride - h`` on; h is the only number that lets
        both frames be the same one and the run's last window end with the run's last frames.

        Args:
            reach: from the first frame of a window to its last.
            stride: from one window to the next; ``count`` is a multiple of it.
            before: pads before the first frame.
            zero_pads: whether pads are zeros, as the frames before a stream are.
        """
        least = reach - stride + 1
        history = least + (before - self.delay - least) % stride
        first = self.first if zero_pads else max(self.first, 0)
        result = replace(
            self,
            count=self.count // stride,
            delay=(history + self.delay - before) // stride,
            first=first if math.isinf(first) else math.ceil((first + before) / stride),
            end=self.end if math.isinf(self.end) else (self.end - 1 - reach + before) // stride + 1,
        )
        return history, result.computed()


@dataclass(frozen=True)
class Window:
    """A tensor of which every run holds the last ``count`` frames of the ``whole`` that the whole run has, along ``axis``."""

    axis: int
    count: int
    whole: int
    exact: bool


@dataclass(frozen=True)
class Snapshot:
    """A tensor without frames, made anew in every run from the last frames; ``exact``: the same as in a whole run over those that were."""

    exact: bool


Time: TypeAlias = Frames | Window | Snapshot | None
"""What a tensor is in a stream; None where it does not depend on time."""


def together(items: list[Frames], axis: int) -> Frames:
    """Of a result made frame by frame from tensors of one delay and count."""
    first, end = max(item.first for item in items), min(item.end for item in items)
    return Frames(axis, items[0].count, items[0].delay, first, end).computed()


def snapshot(times: Sequence[Time]) -> Snapshot:
    """Of a result made from tensors without frames."""
    return Snapshot(all(time.exact for time in times if isinstance(time, (Snapshot, Window))))
