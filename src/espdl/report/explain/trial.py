"""Evaluates a few nodes of a file again, with one rule or one ingredient changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espdl.dl.base import MacFilter, MacKernel, Window
from espdl.dl.machine import Machine
from espdl.dl.model import Model
from espdl.dl.module.base import Module
from espdl.dl.module.creator import ModuleCreator
from espdl.dl.operators import Operator
from espdl.errors import EspdlError
from espdl.tensor import TensorBase

Edit = Callable[[Module], None]


@dataclass(frozen=True)
class Change:
    """One thing that may differ.

    Attributes:
        cause: its word (see :mod:`espdl.report.explain.causes`).
        text: what is other on the second side, as a clause.
        machine: the machine with that rule.
        edit: changes the module before it is bound, its parameters and attributes.
        exponents: of outputs, by name.
        compute: computes outputs by itself, from the node's module and tensors; None where it cannot.
        only: positions in the segment that it is for; all when None.
    """

    cause: str
    text: str
    machine: Callable[[Machine], Machine] | None = None
    edit: Edit | None = None
    exponents: Mapping[str, int] = field(default_factory=dict)
    compute: (
        Callable[[Module, Sequence[TensorBase | None], Sequence[TensorBase | None], Machine], dict[int, NDArray] | None] | None
    ) = None
    only: frozenset[int] | None = None


class Segment:
    """Consecutive nodes from tensors that both sides agree on to one that they do not: a single node where all tensors are known.

    Args:
        model: the file.
        positions: of the nodes in running order.
        known: raw arrays of what they read and do not compute, by name.
    """

    def __init__(self, model: Model, positions: Sequence[int], known: Mapping[str, NDArray]) -> None:
        self.model = model
        self.positions = list(positions)
        self.known = dict(known)
        everything = list(model.walk())
        self.nodes = [(model.operators[at], *everything[at]) for at in self.positions]

    @property
    def modules(self) -> list[Module]:
        return [operator.module for operator, *_ in self.nodes]

    def evaluate(self, change: Change | None = None) -> dict[str, NDArray] | None:
        """Everything the nodes compute, with a change or without; None where it cannot be computed that way."""
        values = dict(self.known)
        for place, (operator, module, inputs, outputs) in enumerate(self.nodes):
            active = change if change is not None and (change.only is None or place in change.only) else None
            result = self._node(operator, module, inputs, outputs, values, active)
            if result is None:
                return None
            values |= result
        return {name: values[name] for operator, *_ in self.nodes for name in operator.produces}

    def bound(
        self, place: int, values: Mapping[str, NDArray], machine: Machine
    ) -> tuple[Module, MacFilter | None, Window | None]:
        """A fresh module of a node bound on ``machine``, with the filter that it asks a kernel for, if any."""
        operator, module, inputs, outputs = self.nodes[place]
        fresh = self.fresh(module)
        recorder = _Recorder(machine)
        sources, targets = self.tensors(operator, inputs, outputs, values, {})
        fresh.bind_outputs(sources, targets, replace(machine, kernels=recorder))
        return fresh, recorder.filter, recorder.window

    def fresh(self, module: Module) -> Module:
        """The same node made from the file once more, without state."""
        made = ModuleCreator.get_instance().create(self.model.fbs_model, module.op_type, module.name)
        made.m_inputs_index, made.m_outputs_index = module.m_inputs_index, module.m_outputs_index
        return made

    def tensors(
        self,
        operator: Operator,
        inputs: Sequence[TensorBase | None],
        outputs: Sequence[TensorBase | None],
        values: Mapping[str, NDArray],
        exponents: Mapping[str, int],
    ) -> tuple[list[TensorBase | None], list[TensorBase | None]]:
        """Inputs and outputs of a node with memory of their own."""
        names = self.model.fbs_model.get_node(operator.module.name).input
        sources: list[TensorBase | None] = []
        for index, tensor in enumerate(inputs):
            name = names[index] if index < len(names) else ""
            if tensor is None or name not in values:
                sources.append(tensor)
            else:
                sources.append(TensorBase(tensor.shape, np.array(values[name]), tensor.exponent.data(), tensor.dtype))
        targets: list[TensorBase | None] = []
        for name, tensor in zip(operator.outputs, outputs, strict=True):
            if tensor is None:
                targets.append(None)
                continue
            exponent: Any = [exponents[name]] if name in exponents else tensor.exponent.data()
            targets.append(TensorBase(tensor.shape, None, exponent, tensor.dtype))
        return sources, targets

    def _node(
        self,
        operator: Operator,
        module: Module,
        inputs: Sequence[TensorBase | None],
        outputs: Sequence[TensorBase | None],
        values: Mapping[str, NDArray],
        change: Change | None,
    ) -> dict[str, NDArray] | None:
        if type(module).forward is not Module.forward:
            return None  # it computes on the model's own memory
        machine = self.model.machine
        fresh = self.fresh(module)
        sources, targets = self.tensors(operator, inputs, outputs, values, change.exponents if change else {})
        try:
            if change is not None:
                machine = change.machine(machine) if change.machine is not None else machine
                if change.edit is not None:
                    change.edit(fresh)
                    fresh.configure()
                    sources = [fresh.parameters.get(index, tensor) for index, tensor in enumerate(sources)]
                if change.compute is not None:
                    computed = change.compute(fresh, sources, targets, machine)
                    if computed is None:
                        return None
                    return {operator.outputs[index]: array for index, array in computed.items()}
            step = fresh.bind_outputs(sources, targets, machine)
            with np.errstate(all="ignore"):
                step()
        except (EspdlError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError):
            return None  # the node does not run that way
        return {name: tensor.data for name, tensor in zip(operator.outputs, targets, strict=True) if name and tensor is not None}


class _Recorder:
    """Kernels that remember the filter which they prepare."""

    def __init__(self, machine: Machine) -> None:
        self._kernels = machine.kernels
        self.filter: MacFilter | None = None
        self.window: Window | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    def conv2d(self, filter: MacFilter, window: Window) -> MacKernel:
        self.filter, self.window = filter, window
        return self._kernels.conv2d(filter, window)

    def linear(self, filter: MacFilter) -> MacKernel:
        self.filter, self.window = filter, None
        return self._kernels.linear(filter)
