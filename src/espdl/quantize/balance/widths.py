"""Which tensors balancing has to suit, where some layers run in more bits than the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from espdl.quantize.balance.groups import Group
from espdl.quantize.balance.layers import Layer
from espdl.quantize.passes.tools import constant


@dataclass(frozen=True)
class Widths:
    """Bits of the integers.

    Attributes:
        bits: of weights and activations of every node that is not named.
        activations, weights: of nodes that have others, by name.
    """

    bits: int
    activations: Mapping[str, int] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)

    def of_activations(self, layer: Layer) -> int:
        return self.activations.get(layer.node.name or "", self.bits)

    def of_weights(self, layer: Layer) -> int:
        return self.weights.get(layer.node.name or "", self.bits)

    def finer_activations(self, layer: Layer) -> float:
        """The step of the activations that a layer reads, as a share of what it is in ``bits``."""
        return 2.0 ** (self.bits - self.of_activations(layer))

    def finer_weights(self, layer: Layer) -> float:
        """The step of a layer's weights, as a share of what it is in ``bits``."""
        return 2.0 ** (self.bits - self.of_weights(layer))

    def demanding(self, model: ir.Model, groups: list[Group]) -> list[Group]:
        """The groups with a tensor that is held in ``bits`` somewhere, and of their tensors those that are.

        Wider ones take any factors without loss, as their exponents follow. Where tensors are cut off at a bound all are kept: they have
        to stay below it.
        """
        if not self.activations:
            return groups
        narrow = {
            value.name or ""
            for node in model.graph
            if self.activations.get(node.name or "", self.bits) == self.bits
            for value in (*node.inputs, *node.outputs)
            if value is not None and constant(value) is None
        }
        kept = [group for group in groups if any(name in narrow for name in group.tensors)]
        for group in kept:
            group.held = [name for name in group.tensors if name in narrow]
            if group.bound is None:
                group.tensors = group.held
        return kept

    def has_wide_activation(self, group: Group) -> bool:
        """Whether a Relu or Clip of the group works on wider integers: those do not end where the others do."""
        nodes = [node for node in group.relays if node.op_type in ("Relu", "Clip")]
        return bool(nodes) and any(
            self.activations.get(node.name or "", self.bits) != self.bits for node in (*nodes, *(w.node for w in group.writers))
        )
