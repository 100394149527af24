"""The same values, maybe in another shape (runtime spec 3.13, ONNX): they are assigned (2.3)."""

from __future__ import annotations

from math import prod

from tests.cases.oracle.assign import assign
from tests.cases.oracle.node import Array, Node, Position, oracle


def _viewed(node: Node, shape: Position) -> Array:
    return assign(node).reshaped(shape)


@oracle("Identity")
def identity(node: Node) -> Array:
    return assign(node)


@oracle("Reshape")
def reshape(node: Node) -> Array:
    """0 copies the dimension unless allowzero; -1 is what remains."""
    source, wanted = node.x(), list(node.x(1).values)
    if not node.attributes.get("allowzero", 0):
        wanted = [source.shape[i] if length == 0 else length for i, length in enumerate(wanted)]
    known = prod(length for length in wanted if length != -1)
    return _viewed(node, tuple(source.size // known if length == -1 else length for length in wanted))


@oracle("Flatten")
def flatten(node: Node) -> Array:
    shape, axis = node.x().shape, node.attributes.get("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return _viewed(node, (prod(shape[:axis]), prod(shape[axis:])))


@oracle("Squeeze")
def squeeze(node: Node) -> Array:
    shape = node.x().shape
    if node.has(1):
        gone = [axis % len(shape) for axis in node.x(1).values]
    else:
        gone = [axis for axis, length in enumerate(shape) if length == 1]
    return _viewed(node, tuple(length for axis, length in enumerate(shape) if axis not in gone))


@oracle("Unsqueeze")
def unsqueeze(node: Node) -> Array:
    """The axes count in the output."""
    rest = list(node.x().shape)
    rank = len(rest) + node.x(1).size
    new = [axis % rank for axis in node.x(1).values]
    return _viewed(node, tuple(1 if axis in new else rest.pop(0) for axis in range(rank)))
