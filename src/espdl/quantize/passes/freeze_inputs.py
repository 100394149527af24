"""Static shapes for the graph inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from espdl.errors import EspdlError
from espdl.wording import counted

InputShapes = Mapping[str, Sequence[int]] | Sequence[Any] | None
"""Shapes by input name, or in input order; one shape alone where the network has one input; None for those of the file."""

_BATCH_NAMES = frozenset({"n", "b", "bs", "none"})


class FreezeInputs(ir.passes.InPlacePass):
    """Sets every graph input to a fixed shape: the one given, else the one in the file with a batch of 1.

    Leaves: static shapes on the graph inputs; ``batches``: for each input whose leading size the caller changed from N to 1, that N.
    Dynamic shapes of other values are forgotten, they are inferred anew.

    Args:
        input_shapes: see :data:`InputShapes`.

    Raises:
        EspdlError: a dynamic size without a given shape, an input that does not exist, a rank or size that contradicts the file.
    """

    def __init__(self, input_shapes: InputShapes = None) -> None:
        super().__init__()
        self.input_shapes = input_shapes
        self.batches: dict[str, int] = {}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        inputs = list(model.graph.inputs)
        given = _by_name(self.input_shapes, [value.name or "" for value in inputs])
        self.batches = {}
        for value in inputs:
            name = value.name or ""
            declared = None if value.shape is None else [dim if isinstance(dim, int) else dim.value for dim in value.shape]
            wanted = given.get(name)
            if wanted is None:
                wanted = _from_file(name, declared)
            else:
                _check(name, declared, wanted)
            if declared and isinstance(declared[0], int) and declared[0] > 1 and wanted[0] == 1:
                self.batches[name] = declared[0]
            value.shape = ir.Shape(wanted)
        for node in model.graph:
            for output in node.outputs:
                if output.shape is not None and not output.shape.is_static():
                    output.shape = None
        return ir.passes.PassResult(model, True)


def _by_name(shapes: InputShapes, names: list[str]) -> dict[str, list[int]]:
    if shapes is None:
        return {}
    if isinstance(shapes, Mapping):
        for name in shapes:
            if name not in names:
                raise EspdlError(f"the network has no input {name!r}", hint="its inputs are " + ", ".join(map(repr, names)))
        return {name: _sizes(name, shape) for name, shape in shapes.items() if shape is not None}
    items = list(shapes)
    if items and all(isinstance(item, int) for item in items):
        items = [items]
    if len(items) != len(names):
        raise EspdlError(
            f"{counted(len(items), 'input shape')} given for {counted(len(names), 'input')}",
            hint="the inputs are " + ", ".join(map(repr, names)),
        )
    return {name: _sizes(name, shape) for name, shape in zip(names, items, strict=True) if shape is not None}


def _sizes(name: str, shape: Sequence[int]) -> list[int]:
    try:
        sizes = [int(size) for size in shape]
    except (TypeError, ValueError):
        sizes = [0]
    if any(size < 1 for size in sizes):
        raise EspdlError(f"{shape!r} is not a shape", where=f"input {name!r}", hint="positive integers, such as [1, 3, 224, 224]")
    return sizes


def _check(name: str, declared: list[Any] | None, wanted: list[int]) -> None:
    where = f"input {name!r}"
    if declared is None:
        return
    if len(declared) != len(wanted):
        raise EspdlError(
            f"shape {wanted} has {len(wanted)} dimensions, the network's has {len(declared)}",
            where=where,
            why=f"it is {_text(declared)}",
        )
    for axis, (own, size) in enumerate(zip(declared, wanted, strict=True)):
        if isinstance(own, int) and own != size and not (axis == 0 and size == 1):
            raise EspdlError(
                f"shape {wanted} contradicts the network's {_text(declared)}",
                where=where,
                why=f"dimension {axis} is fixed to {own} in the file",
                hint="export the network with that size, or with a dynamic one",
            )


def _from_file(name: str, declared: list[Any] | None) -> list[int]:
    where = f"input {name!r}"
    if declared is None:
        raise EspdlError("the file gives no shape", where=where, hint=f"give it: input_shapes={{{name!r}: [1, ...]}}")
    sizes = []
    for axis, dim in enumerate(declared):
        if isinstance(dim, int) and dim > 0:
            sizes.append(dim)
        elif axis == 0 and isinstance(dim, str) and ("batch" in dim.lower() or dim.lower() in _BATCH_NAMES):
            sizes.append(1)
        else:
            example = [
                size if isinstance(size, int) and size > 0 else 1 if place == 0 else "..." for place, size in enumerate(declared)
            ]
            raise EspdlError(
                f"dimension {axis} ({dim or 'unnamed'}) is dynamic",
                where=where,
                why=f"its shape is {_text(declared)} and a chip needs fixed sizes",
                hint=f"give the shape: input_shapes={{{name!r}: [{', '.join(map(str, example))}]}}",
            )
    return sizes


def _text(declared: list[Any]) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in declared) + "]"
