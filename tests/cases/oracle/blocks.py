"""DepthToSpace and SpaceToDepth on [N, H, W, C] as the runtime counts channels, which is not always as in ONNX (runtime spec 3.13)."""

from __future__ import annotations

from tests.cases.oracle.node import Array, Node, Position, oracle, positions


@oracle("DepthToSpace")
def depth_to_space(node: Node) -> Array:
    """Of [N, H, W, C]: where every input channel goes."""
    source, b = node.x(), node.attributes["blocksize"]
    n, h, w, c = source.shape
    values: dict[Position, object] = {}
    for ni, hi, wi, ci in positions(source.shape):
        if node.attributes.get("mode", "DCR") == "CRD":
            channel, row, column = ci // b**2, ci % b**2 // b, ci % b
        else:
            channel, row, column = ci % b, ci // b**2, ci % b**2 // b
        values[ni, hi * b + row, wi * b + column, channel] = source[ni, hi, wi, ci]
    return Array.build((n, h * b, w * b, c // b**2), lambda at: values[at])


@oracle("SpaceToDepth")
def space_to_depth(node: Node) -> Array:
    source, b = node.x(), node.attributes["blocksize"]
    n, h, w, c = source.shape
    values = {}
    for ni, hi, wi, ci in positions(source.shape):
        values[ni, hi // b, wi // b, ci * b**2 + hi % b * b + wi % b] = source[ni, hi, wi, ci]
    return Array.build((n, h // b, w // b, c * b**2), lambda at: values[at])
