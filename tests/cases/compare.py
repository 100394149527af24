"""Whether an output is what the oracle says, and where it first is not."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tests.cases.oracle.node import Array, positions
from tests.cases.table import Case


def check(case: Case, expected: Array, got: NDArray, where: str) -> int:
    """How many elements are within the case's tolerance but not equal. Fails with the first wrong element."""
    assert tuple(got.shape) == tuple(expected.shape), f"{where}: shape {got.shape}, expected {expected.shape}"
    off, wrong = 0, []
    for at, want, have in zip(positions(expected.shape), expected.values, got.reshape(-1).tolist(), strict=True):
        if same(want, have):
            continue
        if near(case, expected.dtype, want, have):
            off += 1
        else:
            wrong.append((at, want, have))
    if wrong:
        at, want, have = wrong[0]
        raise AssertionError(
            f"{where}: {len(wrong)} of {expected.size} elements wrong, first {list(at)}: expected {want!r}, got {have!r}"
        )
    if expected.dtype != "float32":
        assert off <= case.off_by_one, f"{where}: {off} elements are off by one, {case.off_by_one} may be ({case.reason})"
    return off


def same(want: float, have: float) -> bool:
    if isinstance(want, float) and math.isnan(want):
        return math.isnan(have)
    return want == have


def near(case: Case, dtype: str, want: float, have: float) -> bool:
    """Whether the difference is one that the case allows."""
    if dtype != "float32":
        return bool(case.off_by_one) and abs(want - have) <= 1
    if not case.ulps or math.isnan(have) or math.isinf(have) or math.isinf(want):
        return False
    return abs(want - have) <= case.ulps * float(np.spacing(np.float32(max(abs(want), abs(have)))))
