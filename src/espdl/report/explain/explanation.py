"""What ``espdl explain`` found, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from espdl.report.explain.causes import Cause


@dataclass(frozen=True)
class Divergence:
    """A node whose result differs though what it reads does not.

    Attributes:
        node, op_type: of the first file; empty for an input of the network.
        position: of the node in running order; -1 for an input.
        between: names of further nodes that it may be, where tensors in between are not known.
        tensor: the first one that differs. index: of its first element that does, in the layout of the file (NHWC).
        onnx_index: the same in the order of the ONNX network, where that is another one.
        first, second: the raw values there, with their exponents.
        differing, size: elements. largest: difference, raw where the exponents agree, else real.
        cause: why. numbers: how the element comes about, see :func:`espdl.report.explain.numbers.element_numbers`.
    """

    node: str
    op_type: str
    position: int
    between: tuple[str, ...]
    tensor: str
    index: tuple[int, ...]
    onnx_index: tuple[int, ...] | None
    first: float
    second: float
    exponents: tuple[int, int]
    differing: int
    size: int
    largest: float
    cause: Cause
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """Two runs compared.

    Attributes:
        first, second: what they are, in words.
        compared: tensors that both have. missing: of the first that the second lacks.
        differing: tensors that differ, inputs included.
        because_of_first: those of them, the first one aside, that are equal once the first divergence is taken over.
        divergences: the first one, and further ones that do not follow from it, in running order.
        more: further ones whose cause was not looked for.
        unjudged: differing tensors that nothing can be said of: what their nodes read has another exponent, type or order on either side.
        equal_with_rule: of the compared ones, those that are equal once the rule behind the first cause is changed at every node; None
            where the cause is no rule.
    """

    first: str
    second: str
    compared: int
    missing: tuple[str, ...]
    differing: int
    because_of_first: int
    divergences: tuple[Divergence, ...]
    more: int
    unjudged: int = 0
    equal_with_rule: int | None = None

    @property
    def equal(self) -> bool:
        return not self.differing

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"equal": self.equal, **asdict(self)}
