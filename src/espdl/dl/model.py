"""``Model``: loads a file, plans its memory, and runs it exactly as a chip would (guide 4.3, runtime spec 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from espdl.chips import Chip
from espdl.dl.base import get_kernels
from espdl.dl.compile import Program
from espdl.dl.context import ModelContext
from espdl.dl.machine import Machine
from espdl.dl.memory import MEMORY_MANAGER_GREEDY, MemoryManagerGreedy
from espdl.dl.module.base import Module, Step
from espdl.dl.module.creator import ModuleCreator
from espdl.dl.operators import Operator, create_operators
from espdl.dl.profiling import Profiling
from espdl.dl.running import Running
from espdl.dl.target import Target, resolve_target
from espdl.dtypes import Arithmetic, ModelLocation
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, FbsModel
from espdl.tensor import TensorBase


class Model(Running, Profiling):
    """A model file, ready to run.

    ``Model("net.espdl")``, ``Model(data, 1)`` and ``Model(data, "name.espdl")`` (a package, by index or name) and
    ``Model("label", ModelLocation.FLASH_PARTITION, partitions={"label": data})`` load, plan and bind at once; ``Model()`` is empty until
    :meth:`load` and :meth:`build` are called.

    Args:
        source: bytes-like, path, partition label, or an ``FbsModel``.
        model: which model of a package: index or name. The location may stand here instead, as in the guide.
        location: where ``source`` lies.
        max_internal_size: bytes of internal RAM to fill first; the rest goes to PSRAM (spec 5.2 step C).
        mm_type: memory manager; there is the greedy one.
        key: 16-byte AES key of an encrypted model.
        param_copy: whether the chip copies parameters from flash to RAM. Changes the memory figures, not the results.
        input_shapes: shapes that replace those of the file, by input name.
        target: chip name; None takes it from the file (see :mod:`espdl.dl.target`).
        arithmetic: ``silicon`` or ``reference``.
        backend: ``numpy`` or ``native``; None takes ``ESPDL_BACKEND``, else the fastest present.
        psram: whether the chip has PSRAM.
        partitions: content of flash partitions by label: bytes or a path.

    Attributes:
        chip, target_source: the chip, and how it was found.

    Raises:
        EspdlError: for a file that cannot be read, is for another chip, or holds an operator that cannot run.
    """

    def __init__(
        self,
        source: Any = None,
        model: int | str | ModelLocation | None = None,
        location: ModelLocation = ModelLocation.FLASH_RODATA,
        max_internal_size: int = 0,
        mm_type: int = MEMORY_MANAGER_GREEDY,
        key: bytes | None = None,
        param_copy: bool = True,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        target: str | Chip | None = None,
        arithmetic: str | Arithmetic = Arithmetic.SILICON,
        backend: str | None = None,
        psram: bool = True,
        partitions: Mapping[str, Any] | None = None,
    ) -> None:
        self._requested_target = target
        self._arithmetic = Arithmetic(arithmetic)
        self._kernels = get_kernels(backend)
        self._psram = psram
        self._partitions = partitions
        self._loader: FbsLoader | None = None
        self._fbs_model: FbsModel | None = None
        self._context = ModelContext()
        self._operators: list[Operator] = []
        self._steps: list[Step] = []
        self._singles: list[Program] = []
        self._program: Program | None = None
        self._absent: frozenset[str] = frozenset()
        self._keeps_intermediates = False
        self._bound_to: list[tuple[TensorBase, NDArray]] = []
        self._workers: list[Model] = []
        self._input_shapes: dict[str, Sequence[int]] = {}
        self._inputs: dict[str, TensorBase] = {}
        self._outputs: dict[str, TensorBase] = {}
        self._memory: MemoryManagerGreedy | None = None
        self._target: Target | None = None
        self._minimized = False
        if source is None:
            return
        if isinstance(model, ModelLocation):
            location, model = model, None
        self.load(source, model, location, key, param_copy)
        self.build(max_internal_size, mm_type, input_shapes=input_shapes)

    # Loading

    def load(
        self,
        source: Any,
        model: int | str | ModelLocation | None = None,
        location: ModelLocation = ModelLocation.FLASH_RODATA,
        key: bytes | None = None,
        param_copy: bool = True,
    ) -> None:
        """Reads a model and creates its operators; same arguments as the constructor."""
        if isinstance(model, ModelLocation):
            location, model = model, None
        if isinstance(source, FbsModel):
            fbs_model = source
        else:
            self._loader = FbsLoader(source, location, partitions=self._partitions)
            fbs_model = self._loader.load(model, key=key, param_copy=param_copy)
        self._target = resolve_target(fbs_model, self._requested_target)
        self._fbs_model = fbs_model
        self._minimized = False
        self._context.clear()
        self._context.machine = self.machine
        self._operators = list(create_operators(fbs_model, self._context))

    def build(
        self,
        max_internal_size: int = 0,
        mm_type: int = MEMORY_MANAGER_GREEDY,
        preload: bool = False,
        input_shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Plans the memory, places every tensor in it and binds every operator to its tensors.

        ``preload`` has no effect, as on the chip. Raises :class:`EspdlError` naming the node whose shapes or types do not fit.
        """
        if mm_type != MEMORY_MANAGER_GREEDY:
            raise EspdlError(f"there is no memory manager {mm_type}", hint="use MEMORY_MANAGER_GREEDY")
        fbs_model, context = self.fbs_model, self._context
        self._memory = MemoryManagerGreedy(max_internal_size)
        self._memory.alloc(fbs_model, self.modules, context, psram=self._psram, input_shapes=input_shapes)
        self._inputs = {name: self._input_tensor(name, input_shapes or {}) for name in sorted(fbs_model.get_graph_inputs())}
        self._outputs = {name: self._named_tensor(name) for name in sorted(fbs_model.get_graph_outputs())}
        self._input_shapes = dict(input_shapes or {})
        self._bound_to, self._keeps_intermediates, self._workers = [], False, []
        self._bind_all()

    def clone(self) -> Model:
        """The same model with memory of its own: both may run at the same time, each on a thread."""
        self._require_names("clone")
        twin = Model(target=self.chip, arithmetic=self._arithmetic, backend=self._kernels.name, psram=self._psram)
        twin.load(self.fbs_model)
        twin.build(self.memory.max_internal_size, input_shapes=self._input_shapes)
        return twin

    def _input_tensor(self, name: str, input_shapes: Mapping[str, Sequence[int]]) -> TensorBase:
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
        """Chip, arithmetic and kernels of a run."""
        return Machine(self.chip, self._arithmetic, self._kernels)

    @property
    def modules(self) -> list[Module]:
        """The operators in running order."""
        return [operator.module for operator in self._operators]

    @property
    def memory(self) -> MemoryManagerGreedy:
        """The memory manager with its plan."""
        if self._memory is None:
            raise EspdlError("the model has no memory plan", hint="call build() first")
        return self._memory

    @property
    def warnings(self) -> list[str]:
        """What a user should know of the file and of the last run, one sentence each: memory hazards, sums that left their lane."""
        found = list(self.memory.plan.hazards)
        for module in self.modules:
            found += [f"{module.op_type} {module.name!r}: {text}" for text in getattr(module, "warnings", ())]
        return found

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
        """Any variable or parameter by name. A variable's content is valid only until its memory is used again.

        Runs fuse operators, and what lies between those is not computed. From the first call for a variable on, everything is.

        Raises:
            EspdlError: for an unknown name, and for a variable that the last run left out.
        """
        self._require_names("get_intermediate")
        tensor = self._named_tensor(name)
        if self._context.get_variable_index(name) >= 0 and name not in self._inputs and name not in self._outputs:
            self._keep_intermediates()
        if name in self._absent:
            raise EspdlError(
                f"the last run did not compute {name!r}",
                why="it lies between operators that ran as one",
                hint="run again, or name it in run_arrays(..., names)",
            )
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

    def _require_names(self, method: str) -> None:
        if self._minimized:
            raise EspdlError(f"{method}() needs the names that minimize() has dropped", hint="load the model again")

    @property
    def variable_names(self) -> list[str]:
        """Names of the model's inputs and of everything its operators produce, in running order."""
        names = list(self.fbs_model.get_graph_inputs())
        for operator in self._operators:
            names += operator.produces
        return names

    def minimize(self) -> None:
        """Drops the names of intermediate tensors: get_intermediate, test and module information stop working."""
        self._minimized = True
        self._context.minimize()
        self.fbs_model.clear_map()
        ModuleCreator.get_instance().clear()


def _pick(tensors: Mapping[str, TensorBase], name: str, kind: str) -> TensorBase:
    if not name:
        if not tensors:
            raise EspdlError(f"the model has no {kind}")
        return next(iter(tensors.values()))
    try:
        return tensors[name]
    except KeyError:
        raise EspdlError(f"the model has no {kind} {name!r}", hint=f"{kind}s: " + ", ".join(tensors)) from None
