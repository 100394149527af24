"""Whether a network can run on a chip, node by node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espdl.chips import get_chip
from espdl.quantize.check import NodeVerdict, check_network
from espdl.quantize.importer import load_network
from espdl.wording import counted


@dataclass(frozen=True)
class SupportReport:
    """Verdicts on all nodes of a network, in execution order."""

    file: str
    target: str
    verdicts: tuple[NodeVerdict, ...]

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(verdict.status for verdict in self.verdicts))

    @property
    def runs(self) -> bool:
        """Whether every node can run."""
        return "unsupported" not in self.counts

    @property
    def summary(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        verdict = "can run" if self.runs else "cannot run"
        return f"{counted(len(self.verdicts), 'node')}: {counts or 'none'}: the network {verdict} on {self.target}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "target": self.target,
            "runs": self.runs,
            "counts": self.counts,
            "nodes": [asdict(verdict) for verdict in self.verdicts],
        }


def check_file(
    path: Path, target: str, input_shapes: Mapping[str, Sequence[int]] | Sequence[Sequence[int]] | None = None
) -> SupportReport:
    """Reads an ONNX network and judges its nodes.

    Args:
        path: the ``.onnx`` file.
        target: chip.
        input_shapes: of inputs with dynamic axes, by name or in input order.

    Raises:
        EspdlError: when the file cannot be read as a network.
    """
    chip = get_chip(target)
    return SupportReport(str(path), chip.name, tuple(check_network(load_network(path, input_shapes), chip)))
