"""What the rules look at: a file, its container, its FlatBuffer and its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from espdl.chips import Chip
from espdl.fbs.container import Container, Entry
from espdl.fbs.records import AttributeValue, Graph, Model, Node, Tensor, ValueInfo


@dataclass(frozen=True)
class Subject:
    """One model of a file.

    Attributes:
        container, entry: where it lies.
        payload: its FlatBuffer, decrypted.
        model: its records.
        chip: that it is for; None when the file does not tell.
    """

    container: Container
    entry: Entry
    payload: memoryview
    model: Model
    chip: Chip | None

    @property
    def graph(self) -> Graph:
        return self.model.graph

    @cached_property
    def constants(self) -> Mapping[str, Tensor]:
        return {tensor.name: tensor for tensor in self.graph.initializer}

    @cached_property
    def values(self) -> Mapping[str, ValueInfo]:
        return {value.name: value for value in (*self.graph.value_info, *self.graph.output, *self.graph.input)}

    def exponents_of(self, name: str) -> tuple[int, ...]:
        """Of a constant or a variable; empty when there are none."""
        known = self.constants.get(name) or self.values.get(name)
        return known.exponents if known else ()


def attribute(node: Node, name: str, default: AttributeValue | None = None) -> AttributeValue | None:
    """The value of an attribute, or ``default``."""
    return next((entry.value for entry in node.attribute if entry.name == name), default)


def at(node: Node) -> str:
    """A node, for people."""
    return f"{node.op_type} {node.name!r}"


def is_grouped(node: Node) -> bool:
    """Whether a Conv has several groups: its weights are packed as those of a depthwise one."""
    group = attribute(node, "group", 1)
    return isinstance(group, int) and group > 1
