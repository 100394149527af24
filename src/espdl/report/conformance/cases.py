"""What is known of one file of a conformance run: what it tests, what came of it, what ESP-DL's own C++ code is known to make of it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from espdl.dl.module import MODULE_TYPES, Layout
from espdl.dtypes import QuantType
from espdl.fbs import FbsModel

UNTOLD = "not told"
"""Stands for the chip of a file that does not tell it and that runs alike on several."""

UNREADABLE = "unreadable"
"""Stands for the operator of a file that cannot be read."""

DTYPES = ("int8", "int16", "float32", "w8a16", "mixed", "none")
"""In the order of the matrix."""

_WIDTHS = {QuantType.SYMM_8BIT: "int8", QuantType.SYMM_16BIT: "int16", QuantType.FLOAT32: "float32"}
W8A16 = "W8A16"
_CONVERSIONS = frozenset({"QuantizeLinear", "DequantizeLinear", "RequantizeLinear"})
_REARRANGING = frozenset({Layout.AXES, Layout.ONNX, Layout.FOLLOWS_INPUT, Layout.CONCAT})
NETWORK = "Network"


class CppVerdict(enum.Enum):
    """What ESP-DL's C++ code is known to say of a file."""

    PASSES = "passes"
    FAILS = "fails"
    UNKNOWN = ""


class Comparison(enum.Enum):
    """The verdict here beside that of the C++ code; ``str.format`` puts the version in."""

    BOTH_PASS = "passes in {} and here"
    ONLY_HERE = "fails in {}, passes here"
    BOTH_FAIL = "fails in {} and here"
    ONLY_CPP = "passes in {}, fails here"


@dataclass(frozen=True)
class Cause:
    """Why the C++ code and the expected values of a file disagree.

    Attributes:
        disagrees: what does, in words.
        rule: which rule was followed here.
    """

    disagrees: str
    rule: str


@dataclass(frozen=True)
class Tolerance:
    """Elements of one file that are not equal and pass all the same.

    Attributes:
        kind: ``int16`` (within 1) or ``float32`` (within 2e-5).
        elements: how many. largest: difference among them.
        why: in words.
    """

    kind: str
    elements: int
    largest: float
    why: str


@dataclass(frozen=True)
class Case:
    """One model of one file.

    Attributes:
        file: path under the directory, with the model's name in brackets for one of a package.
        operator: that it tests, ``Network`` for several, :data:`UNREADABLE`. dtype: one of :data:`DTYPES`. chip: or :data:`UNTOLD`.
        outcome: ``pass``, ``fail``, ``skip`` (no test values), ``error`` (cannot be loaded or run), ``other chip``.
        detail: what was compared, or what differs first, in words.
        outputs: as in :class:`espdl.dl.filetest.FileVerdict`.
        cpp: what the C++ code is known to say.
        causes: why it fails there; none where it passes there or nothing is known.
        tolerances: the use of them.
    """

    file: str
    operator: str
    dtype: str
    chip: str
    outcome: str
    detail: str = ""
    outputs: tuple[dict[str, Any], ...] = ()
    cpp: CppVerdict = CppVerdict.UNKNOWN
    causes: tuple[Cause, ...] = ()
    tolerances: tuple[Tolerance, ...] = ()

    @property
    def tested(self) -> bool:
        """Whether it counts: files without test values and for other chips do not."""
        return self.outcome in ("pass", "fail", "error")

    @property
    def passed(self) -> bool:
        return self.outcome == "pass"

    @property
    def comparison(self) -> Comparison | None:
        if not self.tested or self.cpp is CppVerdict.UNKNOWN:
            return None
        if self.cpp is CppVerdict.PASSES:
            return Comparison.BOTH_PASS if self.passed else Comparison.ONLY_CPP
        return Comparison.ONLY_HERE if self.passed else Comparison.BOTH_FAIL

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure: one that the C++ code fails, too, does not."""
        return self.tested and not self.passed and self.cpp is not CppVerdict.FAILS

    @property
    def first_difference(self) -> str:
        """``y[0, 3]: expected 5, got 6 (2 of 10 wrong)``; the detail where there are no elements to compare."""
        for output in self.outputs:
            if output["first"] is not None:
                place = f"{output['name']}{list(output['first'])}"
                values = f"expected {output['expected']}, got {output['got']}"
                return f"{place}: {values} ({output['wrong']} of {output['size']} wrong)"
        return "" if self.passed else " ".join(self.detail.split())

    def to_dict(self) -> dict[str, Any]:
        comparison = self.comparison
        return asdict(self) | {
            "cpp": self.cpp.value or None,
            "comparison": None if comparison is None else comparison.name.lower(),
            "failed": self.failed,
        }


def operator_of(fbs_model: FbsModel) -> str:
    """The operator that a file tests: the only one, or the only one that computes, else ``Network``.

    What the exporter adds around an operator (changes of type, of the order of axes, of shape) does not count.
    """
    types = {node.op_type for node in fbs_model.record.graph.node}
    for kept in (types, types - _CONVERSIONS, {op for op in types - _CONVERSIONS if not _rearranges(op)}):
        if len(kept) == 1:
            return next(iter(kept))
    return NETWORK


def _rearranges(op_type: str) -> bool:
    module = MODULE_TYPES.get(op_type)
    return module is not None and module.quantization.passive and module.layout.layout in _REARRANGING


def dtype_of(fbs_model: FbsModel) -> str:
    """The arithmetic that a file tests; float nodes beside integer ones do not count."""
    attributes = (attribute for node in fbs_model.record.graph.node for attribute in node.attribute)
    texts = {str(attribute.value) for attribute in attributes if attribute.name == "quant_type"}
    return dtype_name(texts)


def dtype_name(quant_types: set[str]) -> str:
    """One of :data:`DTYPES` for the quant_type attributes of a file's nodes."""
    if W8A16 in quant_types:
        return "w8a16"
    names = {_WIDTHS.get(QuantType.parse(text), "none") for text in quant_types}
    integers = names - {"float32"}
    if len(integers) > 1:
        return "mixed"
    return next(iter(integers or names), "none")


def chip_name(targets: Sequence[str]) -> str:
    return targets[0] if len(targets) == 1 else UNTOLD
