"""``QuantGraph``: a prepared float network and how each of its tensors is represented, at every place where it is written or read."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir
from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.errors import EspdlError
from espdl.quantize.scale import Scales


class Role(enum.Enum):
    """What a tensor is to the operator that reads it."""

    ACTIVATION = "activation"
    WEIGHT = "weight"  # what activations are multiplied with and summed up
    BIAS = "bias"  # its exponent follows from those of input and weight
    CONSTANT = "constant"


class Link(enum.Enum):
    """How an exponent comes about (names as in the ``.json`` file: ACTIVATED, OVERLAPPED, PASSIVE)."""

    OWN = "ACTIVATED"
    SAME = "OVERLAPPED"  # the same tensor, or one that is not told apart from it: bits and exponent are those of the leader
    ALIGNED = "PASSIVE"  # another tensor whose exponent was made equal to the leader's


@dataclass(eq=False)
class QuantInfo:
    """A tensor as integers at one place: ``real = integer * 2**exponent``.

    Places whose exponents must be equal form a group: each points to a leader, the last one holds the exponents.

    Attributes:
        value: name of the tensor in the network.
        bits: width of the integers.
        role: what it is to the operator.
        observer: name of the calibration algorithm, empty where the exponents follow from others.
        axis: channel axis of per-channel exponents.
        watched: names of further tensors that the exponent of the group must suit.
        own: whether the operator that writes it depends on its exponent (a state that is fed back): alignment with readers leaves it.
    """

    value: str
    bits: int
    role: Role = Role.ACTIVATION
    observer: str = ""
    axis: int | None = None
    link: Link = Link.OWN
    watched: list[str] = field(default_factory=list)
    own: bool = False
    _leader: QuantInfo | None = field(default=None, repr=False)
    _exponents: tuple[int, ...] | None = field(default=None, repr=False)

    @property
    def root(self) -> QuantInfo:
        """The last leader of the group, which holds its exponents."""
        info = self
        while info._leader is not None:
            info = info._leader
        return info

    @property
    def is_root(self) -> bool:
        return self._leader is None

    def same_as(self, other: QuantInfo) -> None:
        """This tensor is represented as ``other``, and so is all that it was grouped with."""
        self.root._point_to(other, Link.SAME)

    def align_to(self, other: QuantInfo) -> None:
        """This place, and what points to it, takes the exponent of ``other``; its former group keeps its own."""
        self._point_to(other, Link.ALIGNED)

    def _point_to(self, other: QuantInfo, link: Link) -> None:
        leader = other
        while leader is not self and leader._leader is not None:
            leader = leader._leader
        if leader is not self:
            self._leader, self.link = other, link

    @property
    def has_exponents(self) -> bool:
        return self.root._exponents is not None

    @property
    def exponents(self) -> tuple[int, ...]:
        """One exponent, or one per channel. Raises :class:`EspdlError` before calibration."""
        found = self.root._exponents
        if found is None:
            raise EspdlError(f"tensor {self.value!r} has no exponent", why="it was not calibrated")
        return found

    @property
    def exponent(self) -> int:
        """The exponent of a per-tensor representation."""
        if len(self.exponents) != 1:
            raise EspdlError(f"tensor {self.value!r} has {len(self.exponents)} exponents, one is needed")
        return self.exponents[0]

    def set_exponents(self, exponents: tuple[int, ...]) -> None:
        """Sets the exponents of the whole group."""
        self.root._exponents = tuple(int(e) for e in exponents)

    def forget_exponents(self) -> None:
        """The whole group is to be calibrated again."""
        self.root._exponents = None


@dataclass
class QuantGraph:
    """A prepared float network with the representation of its tensors.

    Attributes:
        model: the float network; not changed by quantization.
        chip: what it is quantized for.
        bits: activation width of every node by name: 8, 16, or 0 for float.
        narrow: names of nodes whose weights have 8 bits and whose activations 16.
        platforms: platform name of every node, for the ``.json`` file.
        produced: representation of graph inputs and node outputs by tensor name; float where there is none.
        consumed: representation by (node name, input index); float, or not a number to be quantized, where there is none.
        gates: what the gates of each recurrent node have in common, by its name: 16 bits and the gate exponent.
        warnings: what a user should know, one sentence each.
        adjusted: values to be quantized instead of the network's own, by the name of the weight or bias.
        reference: the network before its weights were changed, which results are compared with; None where ``model`` is that.
        scales: what became of tensors of ``reference`` in ``model``, by name.
        measures: what was done to weights and biases, one sentence each.
    """

    model: ir.Model
    chip: Chip
    bits: dict[str, int] = field(default_factory=dict)
    narrow: set[str] = field(default_factory=set)
    platforms: dict[str, str] = field(default_factory=dict)
    produced: dict[str, QuantInfo] = field(default_factory=dict)
    consumed: dict[tuple[str, int], QuantInfo] = field(default_factory=dict)
    gates: dict[str, QuantInfo] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    adjusted: dict[str, NDArray] = field(default_factory=dict)
    reference: ir.Model | None = None
    scales: Scales = field(default_factory=dict)
    measures: list[str] = field(default_factory=list)

    @property
    def original(self) -> ir.Model:
        """The prepared float network that results are compared with."""
        return self.reference or self.model

    def nodes(self) -> Iterator[ir.Node]:
        """In execution order."""
        return iter(self.model.graph)

    def input_info(self, node: ir.Node, index: int) -> QuantInfo | None:
        """How a node reads its input ``index``; None where that is float or no number to be quantized."""
        return self.consumed.get((node.name or "", index))

    def output_info(self, value: ir.Value) -> QuantInfo | None:
        """How a graph input or a result is written; None where that is float."""
        return self.produced.get(value.name or "")

    def infos(self) -> Iterator[QuantInfo]:
        """Every representation, producers first."""
        yield from self.produced.values()
        yield from self.consumed.values()

    def groups(self) -> Mapping[int, list[QuantInfo]]:
        """Members of each group by the identity of its root."""
        found: dict[int, list[QuantInfo]] = {}
        for info in self.infos():
            found.setdefault(id(info.root), []).append(info)
        return found
