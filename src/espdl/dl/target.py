"""Which chip a model file is for.

A file does not say its chip. It is taken from what the caller says, else from the file's metadata, else from what is certain in the
file: how convolution weights are packed, and whether they carry one exponent per channel (runtime spec 1.5, appendix C).
"""

from __future__ import annotations

from dataclasses import dataclass

from espdl.chips import CHIPS, Chip, Packing, get_chip
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from espdl.fbs.packing import parse_packing_tag

METADATA_KEY = "target"
"""Entry of a file's metadata that names its chip."""


@dataclass(frozen=True)
class Evidence:
    """What is certain in a file about its chip.

    Attributes:
        packing: of its convolution weights; None when it holds none.
        packed_tensor: name of a tensor that shows it.
        per_channel_tensor: name of a weight with one exponent per channel; empty when there is none.
        metadata: the ``target`` entry of its metadata, empty when absent.
    """

    packing: Packing | None
    packed_tensor: str
    per_channel_tensor: str
    metadata: str

    def contradiction(self, chip: Chip) -> str:
        """Why the file cannot be for ``chip``, in one sentence; empty when it can."""
        if self.packing is not None and self.packing is not chip.packing:
            return (
                f"the file is packed for {_class_text(self.packing)}: weight {self.packed_tensor!r} is {self.packing.value}, "
                f"{chip.name} reads {chip.packing.value} weights"
            )
        if self.per_channel_tensor and not chip.per_channel_weights:
            return f"weight {self.per_channel_tensor!r} has one exponent per channel, which {chip.name} cannot use"
        return ""


@dataclass(frozen=True)
class Target:
    """A chip and how it was found, in words."""

    chip: Chip
    source: str


def read_evidence(fbs_model: FbsModel) -> Evidence:
    """Looks through the weights and the metadata of a model."""
    packing: Packing | None = None
    packed_tensor = per_channel_tensor = ""
    for tensor in fbs_model.record.graph.initializer:
        tag = parse_packing_tag(tensor.doc_string)
        if tag is not None and packing is None:
            packing, packed_tensor = tag.packing, tensor.name
        if len(tensor.exponents) > 1 and not per_channel_tensor:
            per_channel_tensor = tensor.name
    metadata = fbs_model.record.metadata_props.get(METADATA_KEY, "")
    return Evidence(packing, packed_tensor, per_channel_tensor, metadata)


def candidate_chips(evidence: Evidence) -> list[Chip]:
    """One chip of each arithmetic that the file may be for, the metadata's alone where it has one."""
    if evidence.metadata:
        return [get_chip(evidence.metadata)]
    representatives: dict[tuple[object, ...], Chip] = {}
    for chip in CHIPS.values():
        if not evidence.contradiction(chip):
            representatives.setdefault((chip.rounding, chip.packing, chip.macs8, chip.macs16), chip)
    return list(representatives.values())


def resolve_target(fbs_model: FbsModel, target: str | Chip | None) -> Target:
    """The chip a model runs on.

    Args:
        fbs_model: the file.
        target: a chip or its name; None takes it from the file.

    Raises:
        EspdlError: when the file is for another class of chips than ``target``, or when nothing in it tells the chip.
    """
    evidence = read_evidence(fbs_model)
    if target is not None:
        chip = get_chip(target)
        refusal = evidence.contradiction(chip)
        if not refusal and evidence.metadata and not same_arithmetic(chip, get_chip(evidence.metadata)):
            refusal = f"its metadata says {evidence.metadata}"
        if refusal:
            raise EspdlError(
                f"this model cannot run on {chip.name}", why=refusal, hint="quantize the network again for this chip"
            )
        return Target(chip, "given")
    candidates = candidate_chips(evidence)
    if not candidates:
        raise EspdlError("this model fits no chip", why="its weight packing and its exponents contradict each other")
    if evidence.metadata:
        return Target(candidates[0], f"metadata: target = {evidence.metadata}")
    if len(candidates) == 1:
        reason = f"weight {evidence.packed_tensor!r} is packed for {_class_text(evidence.packing)}" if evidence.packing else ""
        if evidence.per_channel_tensor:
            reason = f"weight {evidence.per_channel_tensor!r} has one exponent per channel"
        return Target(candidates[0], reason)
    names = " or ".join(chip.name for chip in candidates)
    raise EspdlError("the file does not tell its chip", why="it may be for " + names, hint=f"give the target: {names}")


def same_arithmetic(one: Chip, other: Chip) -> bool:
    """Whether two chips compute the same bits from the same files."""
    return (one.rounding, one.packing, one.macs8, one.macs16) == (other.rounding, other.packing, other.macs8, other.macs16)


def _class_text(packing: Packing | None) -> str:
    return " / ".join(chip.name for chip in CHIPS.values() if chip.packing is packing)
