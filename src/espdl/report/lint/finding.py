"""One thing that lint found."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any


class Severity(enum.IntEnum):
    """How much it matters: results are wrong, results may suffer, or something could be better."""

    HINT = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True)
class Finding:
    """What was found at one place.

    Attributes:
        rule: name of the rule. severity: how much it matters.
        node: name of the node; empty when it concerns the whole file.
        text: what is so, with the numbers that prove it.
        cost: what it costs: accuracy, time or memory.
        remedy: what to do about it.
    """

    rule: str
    severity: Severity
    node: str
    text: str
    cost: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"severity": self.severity.name.lower()}
