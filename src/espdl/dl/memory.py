"""Memory managers: they plan where the variables of a model lie and place them there (guide 4.3.8, 4.3.10, runtime spec 5.2)."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from espdl.alignment import ALIGNMENT
from espdl.dl.arena import MemoryChunk, TensorInfo
from espdl.dl.context import ModelContext
from espdl.dl.plan import MemoryPlan, PlanGraph, PlanNode, Value, create_tensors, plan
from espdl.errors import EspdlError

if TYPE_CHECKING:
    from espdl.dl.module.base import Module
    from espdl.fbs import FbsModel

__all__ = [
    "MEMORY_MANAGER_GREEDY",
    "MemoryChunk",
    "MemoryManagerBase",
    "MemoryManagerGreedy",
    "MemoryPlan",
    "TensorInfo",
    "plan",
    "read_graph",
]

MEMORY_MANAGER_GREEDY = 0
"""The memory manager that there is."""

_log = logging.getLogger("espdl.memory")


class MemoryManagerBase(ABC):
    """Plans and places the variables of one model.

    Args:
        alignment: of every offset, in bytes; a power of two, at least 16 (the widest load of a vector unit).
    """

    def __init__(self, alignment: int = ALIGNMENT) -> None:
        if alignment < ALIGNMENT or alignment & (alignment - 1):
            raise EspdlError(f"memory cannot be aligned to {alignment} bytes", hint=f"a power of two, at least {ALIGNMENT}")
        self.alignment = alignment

    @abstractmethod
    def alloc(
        self,
        fbs_model: FbsModel,
        execution_plan: Sequence[Module],
        context: ModelContext,
        *,
        psram: bool = True,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> bool:
        """Gives every variable of ``context`` a tensor with memory.

        Args:
            fbs_model: the file, for graph inputs and outputs and the types of variables.
            execution_plan: operators in running order.
            context: whose variables are registered already, and whose parameters have their tensors.
            psram: whether the chip has PSRAM.
            input_shapes: shapes that replace those of the file, by name of a graph input.

        Returns:
            True. Raises :class:`EspdlError` naming the node whose tensors cannot be planned.
        """


class MemoryManagerGreedy(MemoryManagerBase):
    """Best fit in the order in which tensors are produced, internal RAM first where a limit is given.

    Args:
        max_internal_size: bytes of internal RAM to fill before PSRAM; it is allocated whole. Up to ``alignment``: none.
    """

    def __init__(self, max_internal_size: int = 0, alignment: int = ALIGNMENT) -> None:
        super().__init__(alignment)
        self.max_internal_size = max_internal_size
        self._plan: MemoryPlan | None = None

    @property
    def plan(self) -> MemoryPlan:
        """What :meth:`alloc` planned. Raises :class:`EspdlError` before it did."""
        if self._plan is None:
            raise EspdlError("nothing is planned yet", hint="call alloc() first")
        return self._plan

    def alloc(
        self,
        fbs_model: FbsModel,
        execution_plan: Sequence[Module],
        context: ModelContext,
        *,
        psram: bool = True,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> bool:
        graph = read_graph(fbs_model, execution_plan, context, input_shapes)
        planned = plan(graph, self.max_internal_size, psram=psram, alignment=self.alignment)
        for hazard in planned.hazards:
            _log.warning("memory plan: %s", hazard)
        context.psram = psram
        context.root_alloc(planned.internal_size, planned.psram_size, self.alignment)
        for name, tensor in create_tensors(planned, context.get_internal_root(), context.get_psram_root()).items():
            context.update_tensor(context.get_variable_index(name), tensor)
        self._plan = planned
        return True

    def free(self) -> None:
        """Forgets the plan. The arenas belong to the context."""
        self._plan = None


def read_graph(
    fbs_model: FbsModel,
    execution_plan: Sequence[Module],
    context: ModelContext,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> PlanGraph:
    """What the planner needs to know of a model; see :meth:`MemoryManagerBase.alloc` for the arguments."""
    inputs = list(fbs_model.get_graph_inputs())
    given = dict(input_shapes or {})
    if unknown := given.keys() - set(inputs):
        raise EspdlError(f"the model has no input {', '.join(map(repr, sorted(unknown)))}", hint="inputs: " + ", ".join(inputs))
    nodes = []
    names = list(inputs)
    for module in execution_plan:
        node = fbs_model.get_node(module.name)
        nodes.append(
            PlanNode(
                node.name,
                module.inplace,
                tuple(node.input),
                tuple(node.output),
                module.get_output_shape,
                node.op_type,
                module.optional_outputs,
            )
        )
        names += [*node.input, *node.output]
    indices = {name: index for name in names if name and (index := context.get_variable_index(name)) >= 0}
    variables = sorted(indices, key=indices.__getitem__)
    constants = {
        name: _parameter_shape(fbs_model, context, name) for name in set(names) - indices.keys() if fbs_model.is_parameter(name)
    }
    produced = set(inputs).union(*(node.outputs for node in nodes))
    values = {name: _value(fbs_model, name, given.get(name)) for name in variables if name in produced}
    return PlanGraph(nodes, inputs, list(fbs_model.get_graph_outputs()), variables, values, constants)


def _parameter_shape(fbs_model: FbsModel, context: ModelContext, name: str) -> list[int]:
    tensor = context.get_tensor(name)
    return (fbs_model.get_parameter(name) if tensor is None else tensor).shape


def _value(fbs_model: FbsModel, name: str, shape: Sequence[int] | None) -> Value:
    info = fbs_model.get_value_info(name)
    exponents = info.exponents
    if len(exponents) > 1:
        _log.warning("variable %r has %d exponents in the file; the first is used", name, len(exponents))
    return Value(info.data_type, exponents[0] if exponents else 0, info.shape if shape is None else shape)
