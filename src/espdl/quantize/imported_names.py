"""What users call the layers and constants of a prepared network: as the network that they brought does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from espdl.quantize.passes.tools import constant
from espdl.quantize.provenance import regions

_KEY = "espdl.imported_names"
_MADE_BY_EXPORTERS = "onnx::"
_ROLES = {1: "weight", 2: "bias"}
_ROLES_OF = {
    "GRU": {1: "weight", 2: "recurrent_weight", 3: "bias"},
    "LSTM": {1: "weight", 2: "recurrent_weight", 3: "bias"},
    "PRelu": {1: "slope"},
}
_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LayerNormalization", "RMSNormalization")


@dataclass(frozen=True)
class ImportedNames:
    """Names of an imported network, kept with what is prepared from it.

    Attributes:
        layers: by name of a node that passes made: the imported node in whose place it stands.
        constants: those that users know, by the name that they have in the prepared network.
    """

    layers: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)

    def layer(self, name: str) -> str:
        """The layer that users know a node as."""
        return self.layers.get(name, name)

    def constant(self, name: str, node: ir.Node, index: int) -> str:
        """What users know input ``index`` of a node as: by its own name, or that of its layer and what it is there.

        A node that the exporter of PyTorch named after a module's place (``/block/block.0/Conv``) is that module (``block.0``).
        """
        if name in self.constants:
            return self.constants[name]
        roles = _ROLES_OF.get(node.op_type, _ROLES if node.op_type in _WITH_WEIGHTS else {})
        return f"{module_path(self.layer(node.name or ''))}.{roles.get(index, 'constant')}"


def remember_names(imported: ir.Model, prepared: ir.Model) -> None:
    """Keeps with a prepared network, and its copies, what the imported one calls its layers and constants."""
    present = {node.name for node in imported.graph}
    layers: dict[str, str] = {}
    constants = {name: name for name in imported.graph.initializers if _is_given(name)}
    for region in regions(imported, prepared):
        given = [
            value for node in region.before for value in node.inputs if value is not None and _is_given(_constant_name(value))
        ]
        for node in region.after:
            if node.name not in present and region.before:
                layers[node.name or ""] = _stands_for(node, region.before)
            for value in node.inputs:
                name = _constant_name(value)
                same = [old.name or "" for old in given if name and name not in constants and _same_numbers(old, value)]
                if same:
                    constants[name] = same[0]
    prepared.graph.meta[_KEY] = ImportedNames(layers, constants)


def _is_given(name: str) -> bool:
    return bool(name) and not name.startswith(_MADE_BY_EXPORTERS)


def _constant_name(value: ir.Value | None) -> str:
    return "" if value is None or constant(value) is None else value.name or ""


def _same_numbers(one: ir.Value | None, other: ir.Value | None) -> bool:
    """Whether two constants hold the same numbers in the same order, in whatever shape."""
    first, second = (None if value is None else constant(value) for value in (one, other))
    return (
        first is not None and second is not None and first.size == second.size and np.array_equal(first.ravel(), second.ravel())
    )


def imported_names(prepared: ir.Model) -> ImportedNames:
    """What was kept; where nothing was, the prepared network's own names."""
    found = prepared.graph.meta.get(_KEY)
    return (
        found
        if isinstance(found, ImportedNames)
        else ImportedNames(constants={name: name for name in prepared.graph.initializers})
    )


def module_path(layer: str) -> str:
    """The attributes that lead to a module, from the node name that PyTorch's exporter makes of them; other names as they are."""
    scopes = [part for part in layer.split("/") if part]
    if not layer.startswith("/") or len(scopes) < 2:
        return layer.strip("/")
    path: list[str] = []
    for scope in scopes[:-1]:
        if path and scope.startswith(path[-1] + "."):
            path[-1] = scope
        else:
            path.append(scope)
    return ".".join(path)


def _stands_for(node: ir.Node, before: Iterable[ir.Node]) -> str:
    """Of the nodes that were replaced, the one that writes the same tensor, else the one with weights, else the first."""
    nodes = list(before)
    results = {value.name for value in node.outputs}
    same = [old for old in nodes if results & {value.name for value in old.outputs}]
    heavy = [old for old in nodes if old.op_type in (*_WITH_WEIGHTS, "GRU", "LSTM")]
    return (heavy or same or nodes)[0].name or ""
