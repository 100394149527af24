"""Candidates: what cells of a network propose, before the best are picked; and the picking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from espdl.vision.detect.outputs import Output


@dataclass(frozen=True)
class Candidates:
    """N proposals, in the order in which the chip makes them: stage, row, column, anchor, class.

    Attributes:
        category: [N] int64.
        score: [N] float32.
        box: [N, 4] int64: x1, y1, x2, y2.
        keypoints: [N, K, 2] int64; None without.
        coefficients: [N, M] float32 of masks; None without.
    """

    category: NDArray[np.int64]
    score: NDArray[np.float32]
    box: NDArray[np.int64]
    keypoints: NDArray[np.int64] | None = None
    coefficients: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.score)

    def take(self, indices: NDArray[np.intp]) -> Candidates:
        """Those at ``indices``."""
        return Candidates(*(None if array is None else array[indices] for array in self._arrays()))  # type: ignore[arg-type]

    @staticmethod
    def joined(parts: Iterable[Candidates]) -> Candidates:
        """All of several, one after the other; there is at least one part, and all have the same arrays."""
        columns = zip(*(part._arrays() for part in parts), strict=True)
        return Candidates(*(None if column[0] is None else np.concatenate(column) for column in columns))  # type: ignore[arg-type]

    def _arrays(self) -> tuple[NDArray | None, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def best_first(self) -> Candidates:
        """By descending score; equal scores stay in order (spec 7.6)."""
        return self.take(np.argsort(-self.score, kind="stable"))

    def clipped(self, width: int, height: int) -> Candidates:
        """Boxes and key points brought into a picture (spec 7.6 ``get_result``)."""
        corner = np.array([width - 1, height - 1])
        points = None if self.keypoints is None else np.clip(self.keypoints, 0, corner)
        return Candidates(self.category, self.score, np.clip(self.box, 0, np.tile(corner, 2)), points, self.coefficients)


def above(score: Output, limit: NDArray, *, or_equal: bool = False) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cells (row-major index) and channels whose raw score is above ``limit``, in order of cells, then channels."""
    rows = score.rows
    found = np.flatnonzero(rows >= limit if or_equal else rows > limit)
    cells, channels = np.divmod(found, score.channels)
    return cells, channels


def suppress(box: NDArray[np.int64], threshold: float, top_k: int) -> NDArray[np.intp]:
    """Non-maximum suppression over all classes together (spec 7.6): indices of the boxes kept.

    Boxes are walked best first. Each one kept drops all later ones that overlap it by more than ``threshold``; the ``top_k``-th one kept
    ends the walk. Sizes count both edges: ``x2 - x1 + 1``.

    Args:
        box: [N, 4], best first.
        threshold: intersection over union, binary32.
        top_k: at least 1.
    """
    limit = np.float32(threshold)
    size = box[:, 2:] - box[:, :2] + 1
    area = size[:, 0] * size[:, 1]
    kept: list[int] = []
    left = np.arange(len(box))
    while left.size:
        best, left = left[0], left[1:]
        kept.append(int(best))
        if len(kept) >= top_k:
            break
        low = np.maximum(box[left, :2], box[best, :2])
        shared = np.maximum(np.minimum(box[left, 2:], box[best, 2:]) - low + 1, 0)
        common = shared[:, 0] * shared[:, 1]
        union = np.where(common > 0, area[left] + area[best] - common, 1)
        left = left[~(common.astype(np.float32) / union.astype(np.float32) > limit)]
    return np.array(kept, np.intp)
