"""Convolutions and poolings with every attribute written out, and pads as numbers."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from espdl.quantize.passes.tools import Editor, NodePass, attribute, input_of, shape_of


class SpellOut(NodePass):
    """Writes ``kernel_shape``, ``strides``, ``dilations``, ``pads`` and ``group`` in full, and drops ``auto_pad`` and ``ceil_mode``.

    Chips read pads only as numbers (runtime spec 3.3, 3.10). SAME pads are computed from the sizes; with ``ceil_mode`` a MaxPool gets the
    pads at its end that let the last window fit: they hold no value that could win.

    Leaves: no ``auto_pad``, no ``output_shape``; ``ceil_mode`` only on an AveragePool where it changes the result.
    """

    op_types = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")

    def rewrite(self, node: ir.Node, edit: Editor) -> bool:
        shape, result = shape_of(node.inputs[0]), shape_of(node.outputs[0])
        weight = shape_of(input_of(node, 1))
        kernel = attribute(node, "kernel_shape") or (list(weight[2:]) if weight is not None else None)
        if shape is None or result is None or kernel is None:
            return False
        spatial = len(shape) - 2
        full: dict[str, Any] = {
            "kernel_shape": kernel,
            "strides": attribute(node, "strides", [1] * spatial),
            "dilations": attribute(node, "dilations", [1] * spatial),
            "pads": attribute(node, "pads", [0] * (2 * spatial)),
        }
        if node.op_type in ("Conv", "ConvTranspose"):
            full["group"] = attribute(node, "group", 1)
        automatic = attribute(node, "auto_pad", "NOTSET")
        if node.op_type == "ConvTranspose":
            full["output_padding"] = attribute(node, "output_padding", [0] * spatial)
            if automatic in ("SAME_UPPER", "SAME_LOWER") or attribute(node, "output_shape"):
                full["pads"] = _transposed_pads(full, shape[2:], result[2:], automatic)
        elif automatic in ("SAME_UPPER", "SAME_LOWER"):
            full["pads"] = _same_pads(full, shape[2:], result[2:], automatic)
        if attribute(node, "ceil_mode", 0):
            needed = _missing(full, shape[2:], result[2:])
            if node.op_type == "MaxPool" or not any(needed):
                full["pads"] = [
                    *full["pads"][:spatial],
                    *(pad + more for pad, more in zip(full["pads"][spatial:], needed, strict=True)),
                ]
            else:
                full["ceil_mode"] = 1
        for name in ("storage_order", "count_include_pad"):
            if attribute(node, name, 0):
                full[name] = 1
        current = {
            name: list(attr.value) if isinstance(attr.value, tuple) else attr.value for name, attr in node.attributes.items()
        }
        if current == full:
            return False
        node.attributes.clear()
        for name, numbers in full.items():
            node.attributes[name] = ir.AttrInt64(name, numbers) if isinstance(numbers, int) else ir.AttrInt64s(name, numbers)
        return True


def _extent(full: dict[str, Any], axis: int) -> int:
    return int((full["kernel_shape"][axis] - 1) * full["dilations"][axis] + 1)


def _same_pads(full: dict[str, Any], sizes: tuple[int, ...], results: tuple[int, ...], automatic: str) -> list[int]:
    totals = [
        max((result - 1) * full["strides"][axis] + _extent(full, axis) - size, 0)
        for axis, (size, result) in enumerate(zip(sizes, results, strict=True))
    ]
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return small + large if automatic == "SAME_UPPER" else large + small


def _transposed_pads(full: dict[str, Any], sizes: tuple[int, ...], results: tuple[int, ...], automatic: str) -> list[int]:
    """The inverse: pads that make the output as large as inferred; what is too little becomes output padding."""
    begins, ends = [], []
    for axis, (size, result) in enumerate(zip(sizes, results, strict=True)):
        total = (size - 1) * full["strides"][axis] + full["output_padding"][axis] + _extent(full, axis) - result
        if total < 0:
            full["output_padding"][axis] -= total
            total = 0
        smaller, larger = total // 2, total - total // 2
        begins.append(smaller if automatic == "SAME_UPPER" else larger)
        ends.append(larger if automatic == "SAME_UPPER" else smaller)
    return begins + ends


def _missing(full: dict[str, Any], sizes: tuple[int, ...], results: tuple[int, ...]) -> list[int]:
    """Per axis, by how much the last window leaves the padded input."""
    spatial = len(sizes)
    return [
        max(
            (result - 1) * full["strides"][axis] + _extent(full, axis) - size - full["pads"][axis] - full["pads"][axis + spatial],
            0,
        )
        for axis, (size, result) in enumerate(zip(sizes, results, strict=True))
    ]
