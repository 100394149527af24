"""A name for every node, and no name twice."""

from __future__ import annotations

import onnx_ir as ir

from espdl.quantize.passes.tools import free_name


class NameNodes(ir.passes.InPlacePass):
    """Names nodes that have no name after their type and place, and numbers names that occur twice.

    Settings, reports and the file name layers, so a layer's name must be one, and the same at every run.

    Leaves: every node with a name of its own; names that were unique are unchanged. The same for values without a name.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        taken = {node.name for node in model.graph if node.name}
        seen: set[str] = set()
        counts: dict[str, int] = {}
        values = {value.name for node in model.graph for value in node.outputs if value.name}
        for node in model.graph:
            if not node.name:
                number = counts.get(node.op_type, 0)
                counts[node.op_type] = number + 1
                node.name = free_name(f"{node.op_type}_{number}", taken)
                modified = True
            elif node.name in seen:
                node.name = free_name(node.name, taken)
                modified = True
            seen.add(node.name)
            for index, value in enumerate(node.outputs):
                if not value.name and value.uses():
                    value.name = free_name(f"{node.name}_output_{index}", values)
                    modified = True
        return ir.passes.PassResult(model, modified)
