"""The operators of a file, in running order, with their tensors registered in a context (runtime spec 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from espdl.dl.context import ModelContext
from espdl.dl.module.base import Module
from espdl.dl.module.blame import Blame
from espdl.dl.module.creator import ModuleCreator
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from espdl.wording import at_node


@dataclass(frozen=True)
class Operator:
    """One node made into a module.

    Attributes:
        module: the operator.
        outputs: names of its outputs in node order, "" for an omitted one; those omitted at the end are left out.
    """

    module: Module
    outputs: tuple[str, ...]

    @property
    def produces(self) -> tuple[str, ...]:
        """Names of the outputs that it writes."""
        return tuple(name for name in self.outputs if name)

    @cached_property
    def blame(self) -> Blame:
        """The context to run it in."""
        return Blame(self.module.name, self.module.op_type)


def create_operators(fbs_model: FbsModel, context: ModelContext) -> Iterator[Operator]:
    """Makes every node of ``fbs_model`` into a module and gives each of its tensors an index in ``context``.

    Raises:
        EspdlError: naming the node whose type is unknown, whose attributes cannot run, or which omits an output that the operator
            always writes before another one.
    """
    creator = ModuleCreator.get_instance()
    creator.register_dl_modules()
    for node_name in fbs_model.topological_sort():
        node = fbs_model.get_node(node_name)
        module = creator.create(fbs_model, node.op_type, node_name)
        module.strict_onnx = context.machine.strict_onnx
        module.m_inputs_index = [
            context.add_tensor(name, not name or fbs_model.is_parameter(name), module.parameters.get(index))
            for index, name in enumerate(node.input)
        ]
        outputs = list(node.output)
        while outputs and not outputs[-1]:
            outputs.pop()
        for index, name in enumerate(outputs):
            if not name and index not in module.optional_outputs:
                place = at_node(node_name, node.op_type)
                raise EspdlError(f"output {index} is omitted before one that is not", where=place)
        module.m_outputs_index = [context.add_tensor(name, not name) for name in outputs]
        yield Operator(module, tuple(outputs))
