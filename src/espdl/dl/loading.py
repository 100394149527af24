"""``Loading``: a file made into operators bound to memory; the part of ``Model`` that runs nothing (guide 4.3.3, runtime spec 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dl.base import get_kernels
from espdl.dl.context import ModelContext
from espdl.dl.machine import Machine
from espdl.dl.memory import MEMORY_MANAGER_GREEDY, MemoryManagerGreedy
from espdl.dl.module.base import Module, Step
from espdl.dl.operators import Operator, create_operators
from espdl.dl.overloads import load_arguments
from espdl.dl.quirks import NodeQuirk, Site, in_effect
from espdl.dl.target import Target, resolve_target
from espdl.dtypes import Arithmetic, Int16Lut, ModelLocation, RuntimeMode
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, FbsModel
from espdl.fbs.flash_image import Flash
from espdl.fbs.loader import Source
from espdl.tensor import TensorBase

Shapes = Mapping[str, Sequence[int]]


class Loading:
    """Loads, plans and binds. See :class:`espdl.dl.Model` for the arguments."""

    def __init__(
        self,
        target: str | Chip | None,
        arithmetic: str | Arithmetic,
        backend: str | None,
        int16_lut: str | Int16Lut,
        psram: bool,
        partitions: Mapping[str, Source] | None,
        flash: Flash | None,
        strict_onnx: bool = False,
    ) -> None:
        self._requested_target = target
        self._arithmetic = Arithmetic(arithmetic)
        self._kernels = get_kernels(backend)
        self._int16_lut = Int16Lut.parse(int16_lut)
        self._psram = psram
        self._strict_onnx = bool(strict_onnx)
        self._partitions = partitions
        self._flash = flash
        self._loader: FbsLoader | None = None
        self._fbs_model: FbsModel | None = None
        self._context = ModelContext()
        self._operators: list[Operator] = []
        self._steps: list[Step] = []
        self._bound_to: list[tuple[TensorBase, NDArray]] = []
        self._input_shapes: dict[str, Sequence[int]] = {}
        self._inputs: dict[str, TensorBase] = {}
        self._outputs: dict[str, TensorBase] = {}
        self._memory: MemoryManagerGreedy | None = None
        self._target: Target | None = None
        self._minimized = False

    def load(self, source: Source | FbsModel, *arguments: Any, **named: Any) -> None:
        """Reads a model and creates its operators.

        ``load(source, location, key, param_copy)``, ``load(source, location, index_or_name, key, param_copy)`` and ``load(fbs_model)`` as
        in the guide; ``model``, ``location``, ``key`` and ``param_copy`` may be named. The constructor says what they mean.

        Raises:
            EspdlError: for a file that cannot be read, is for another chip, or holds an operator that cannot run.
        """
        given = load_arguments(source, arguments, named)
        if isinstance(source, FbsModel):
            fbs_model, self._loader = source, None
        else:
            location = given.pop("location", ModelLocation.FLASH_RODATA)
            self._loader = FbsLoader(source, location, partitions=self._partitions, flash=self._flash)
            fbs_model = self._loader.load(**given)
        self._target = resolve_target(fbs_model, self._requested_target)
        self._fbs_model = fbs_model
        self._minimized = False
        self._memory, self._steps, self._inputs, self._outputs = None, [], {}, {}
        self._context.clear()
        self._context.machine = self.machine
        self._operators = list(create_operators(fbs_model, self._context))

    def build(
        self,
        max_internal_size: int = 0,
        mm_type: int = MEMORY_MANAGER_GREEDY,
        preload: bool = False,
        input_shapes: Shapes | None = None,
    ) -> None:
        """Plans the memory, places every tensor in it and binds every operator to its tensors.

        ``preload`` has no effect, as on the chip. Raises :class:`EspdlError` naming the node whose shapes or types do not fit.
        """
        if mm_type != MEMORY_MANAGER_GREEDY:
            raise EspdlError(f"there is no memory manager {mm_type}", hint="use MEMORY_MANAGER_GREEDY")
        fbs_model, context = self.fbs_model, self._context
        self._memory, memory = None, MemoryManagerGreedy(max_internal_size)
        memory.alloc(fbs_model, self.modules, context, psram=self._psram, input_shapes=input_shapes)
        self._inputs = {name: self._input_tensor(name, input_shapes or {}) for name in sorted(fbs_model.get_graph_inputs())}
        self._outputs = {name: self._named_tensor(name) for name in sorted(fbs_model.get_graph_outputs())}
        for tensor in (*context.m_variables, *self._inputs.values()):
            if tensor is not None:
                tensor.rounding = self.chip.rounding
        self._input_shapes = dict(input_shapes or {})
        self._bound_to = []
        self._bind_all()
        self._memory = memory  # last: a model that could not be built does not run

    def _bind_all(self) -> None:
        """Binds every operator to the arrays that its tensors have now."""
        self._steps = [self._bind(operator) for operator in self._operators]
        watched = [*self._inputs.values(), *self._outputs.values(), *(tensor for tensor, _ in self._bound_to)]
        self._bound_to = [(tensor, tensor.data) for tensor in {id(tensor): tensor for tensor in watched}.values()]

    def _watch(self, tensor: TensorBase) -> None:
        """Notices when ``tensor``, which a user has in hand, is given other memory."""
        if all(tensor is not known for known, _ in self._bound_to):
            self._bound_to.append((tensor, tensor.data))

    def _rebind_if_moved(self) -> None:
        for tensor, array in self._bound_to:
            if tensor.data is not array:
                return self._bind_all()

    def _bind(self, operator: Operator) -> Step:
        module = operator.module
        inputs, outputs = self._tensors_of(operator)
        if type(module).forward is not Module.forward:
            return lambda: module.forward(self._context, RuntimeMode.SINGLE_CORE)
        with operator.blame:
            return module.bind_outputs(inputs, outputs, self._context.machine)

    def _tensors_of(self, operator: Operator) -> tuple[list[TensorBase | None], list[TensorBase | None]]:
        """Inputs and outputs of an operator, None for omitted ones."""
        inputs = [self._context.get_tensor(index) for index in operator.module.m_inputs_index]
        return inputs, [self._named_tensor(name) if name else None for name in operator.outputs]

    def _input_tensor(self, name: str, input_shapes: Shapes) -> TensorBase:
        tensor = self._context.get_tensor(name)
        if tensor is None:  # no operator reads it, so no memory is planned for it
            info = self.fbs_model.get_value_info(name)
            tensor = TensorBase(input_shapes.get(name, info.shape or ()), None, info.exponents, info.data_type)
        return tensor

    def _named_tensor(self, name: str) -> TensorBase:
        tensor = self._context.get_tensor(name)
        if tensor is None:
            raise EspdlError(f"the model has no tensor {name!r}", hint="names are those in the file: see espdl inspect")
        return tensor

    def _require_names(self, method: str) -> None:
        if self._minimized:
            raise EspdlError(f"{method}() needs the names that minimize() has dropped", hint="load the model again")

    # What is inside

    @property
    def fbs_model(self) -> FbsModel:
        if self._fbs_model is None:
            raise EspdlError("no model is loaded", hint="call load() first")
        return self._fbs_model

    def get_fbs_model(self) -> FbsModel:
        """The file this model was made from."""
        return self.fbs_model

    @property
    def target(self) -> Target:
        if self._target is None:
            raise EspdlError("no model is loaded", hint="call load() first")
        return self._target

    @property
    def chip(self) -> Chip:
        return self.target.chip

    @property
    def target_source(self) -> str:
        """How the chip was found: "given", or the fact in the file that tells it."""
        return self.target.source

    @property
    def machine(self) -> Machine:
        """Chip, arithmetic, kernels and rules of a run."""
        return Machine(self.chip, self._arithmetic, self._kernels, self._int16_lut, self._strict_onnx)

    @property
    def modules(self) -> list[Module]:
        """The operators in running order."""
        return [operator.module for operator in self._operators]

    def walk(self) -> Iterator[tuple[Module, list[TensorBase | None], list[TensorBase | None]]]:
        """Every operator in running order with its input and output tensors, None for omitted ones."""
        for operator in self._operators:
            yield operator.module, *self._tensors_of(operator)

    @property
    def operators(self) -> list[Operator]:
        """The operators with the names of their tensors, in running order."""
        return list(self._operators)

    @property
    def memory(self) -> MemoryManagerGreedy:
        """The memory manager with its plan."""
        if self._memory is None:
            raise EspdlError("the model is not built", hint="call build() first")
        return self._memory

    @property
    def warnings(self) -> list[str]:
        """What a user should know of the file and of the last run, one sentence each: memory hazards, sums that left their lane."""
        found: list[str] = list(self.memory.plan.hazards)
        for module in self.modules:
            found += [f"{module.op_type} {module.name!r}: {text}" for text in getattr(module, "warnings", ())]
        return found

    def quirks(self) -> list[NodeQuirk]:
        """Where a run of this model gives something else than ONNX because ESP-DL does, in running order.

        With ``strict_onnx`` only what remains: quirks whose other meaning cannot be had. See :mod:`espdl.dl.quirks` for the table.
        """
        self._require_names("quirks")
        _ = self.memory  # tensors are there once the model is built
        found: list[NodeQuirk] = []
        for operator in self._operators:
            site = Site(operator.module, *self._tensors_of(operator), self.machine)
            found += [NodeQuirk(operator.module.name, operator.module.op_type, quirk) for quirk in in_effect(site)]
        return found

    @property
    def variable_names(self) -> list[str]:
        """Names of the model's inputs and of everything its operators produce, in running order."""
        names = list(self.fbs_model.get_graph_inputs())
        for operator in self._operators:
            names += operator.produces
        return names

    def get_inputs(self) -> dict[str, TensorBase]:
        """Input tensors by name, in alphabetical order. Running may overwrite them: they share the arena."""
        return self._inputs

    def get_input(self, name: str = "") -> TensorBase:
        """The input of that name; the alphabetically first one without a name."""
        return _pick(self._inputs, name, "input")

    def get_outputs(self) -> dict[str, TensorBase]:
        """Output tensors by name, in alphabetical order."""
        return self._outputs

    def get_output(self, name: str = "") -> TensorBase:
        """The output of that name; the alphabetically first one without a name."""
        return _pick(self._outputs, name, "output")

    def get_intermediate(self, name: str) -> TensorBase:
        """Any variable or parameter by name. A variable's content is valid only until its memory is used again."""
        self._require_names("get_intermediate")
        tensor = self._named_tensor(name)
        self._watch(tensor)
        return tensor

    def get_metadata_prop(self, key: str) -> str:
        """A metadata value, empty when absent."""
        return self.fbs_model.get_model_metadata_prop(key)

    def print(self) -> None:
        """Prints every operator."""
        for index, module in enumerate(self.modules):
            print(f"------------------------------- {index} -------------------------------")
            module.print()


def _pick(tensors: Mapping[str, TensorBase], name: str, kind: str) -> TensorBase:
    if not name:
        if not tensors:
            raise EspdlError(f"the model has no {kind}")
        return next(iter(tensors.values()))
    try:
        return tensors[name]
    except KeyError:
        raise EspdlError(f"the model has no {kind} {name!r}", hint=f"{kind}s: " + ", ".join(tensors)) from None
