"""Comparing a run with the test values embedded in a file (runtime spec 4.3), and finding the chip by doing so."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from espdl.dtypes import DType
from espdl.tensor import TensorBase
from espdl.wording import counted


@dataclass(frozen=True)
class OutputCheck:
    """One embedded test output against the run.

    Attributes:
        name: of the tensor.
        size: number of elements.
        wrong: elements outside the tolerance.
        off_by_one: int16 elements that differ by 1, which the chip's test accepts too.
        reason: the first difference in words; empty when equal.
        dtype: of the run's output, as in NumPy.
        inexact: elements of other types that differ within the tolerance.
        largest: difference between two elements, in absolute value.
        first: coordinates of the first wrong element; None where none is, and where type, shape or exponent differ.
        got, expected: that element in the run and in the file.
    """

    name: str
    size: int
    wrong: int = 0
    off_by_one: int = 0
    reason: str = ""
    dtype: str = ""
    inexact: int = 0
    largest: float = 0.0
    first: tuple[int, ...] | None = None
    got: float | None = None
    expected: float | None = None

    @property
    def passed(self) -> bool:
        return not self.reason

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class TestResult:
    """Comparison of all embedded test outputs. True when all are equal within the chip's tolerance."""

    __test__ = False

    outputs: tuple[OutputCheck, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.outputs)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        if not self.passed:
            return "; ".join(check.reason for check in self.outputs if not check.passed)
        off_by_one = sum(check.off_by_one for check in self.outputs)
        note = f", {counted(off_by_one, 'int16 value')} off by one" if off_by_one else ""
        values = counted(sum(check.size for check in self.outputs), "value")
        return f"{counted(len(self.outputs), 'output')}, {values} equal{note}"


def tolerance(dtype: DType) -> float:
    """Largest difference the chip's own test accepts: 1 for 16-bit integers, 2e-5 otherwise."""
    return 1 + 1e-5 if dtype in (DType.INT16, DType.UINT16) else 2e-5


def check_output(name: str, got: TensorBase, expected: TensorBase) -> OutputCheck:
    """Compares one output: type, shape, exponent, then every element."""
    for fact, g, e in (
        ("type", got.dtype.name, expected.dtype.name),
        ("shape", got.shape, expected.shape),
        ("exponent", got.exponent, expected.exponent),
    ):
        if g != e:
            return OutputCheck(name, got.size, got.size, 0, f"output {name!r} has {fact} {g}, the test value has {e}")
    a, b = got.data.astype(np.float64), expected.data.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    outside = ~(difference <= tolerance(got.dtype))
    wrong = int(np.count_nonzero(outside))
    within = int(np.count_nonzero(difference)) - wrong
    sixteen = got.dtype in (DType.INT16, DType.UINT16)
    check = OutputCheck(
        name,
        got.size,
        wrong,
        off_by_one=within if sixteen else 0,
        dtype=str(got.data.dtype),
        inexact=0 if sixteen else within,
        largest=float(difference.max(initial=0.0)),
    )
    if not wrong:
        return check
    first = tuple(int(i) for i in np.argwhere(outside)[0])
    reason = (
        f"output {name!r}: {wrong} of {got.size} values differ, the first at {list(first)}: "
        f"got {got.data[first]}, expected {expected.data[first]}"
    )
    return replace(check, reason=reason, first=first, got=got.data[first].item(), expected=expected.data[first].item())
