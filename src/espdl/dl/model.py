"""``Model``: loads a file, plans its memory, and runs it exactly as a chip would (guide 4.3, runtime spec 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.chips import Chip
from espdl.dl.base import get_kernels
from espdl.dl.context import ModelContext
from espdl.dl.feeding import assign_inputs
from espdl.dl.machine import Machine
from espdl.dl.memory import MEMORY_MANAGER_GREEDY, MemoryManagerGreedy
from espdl.dl.module.base import Module, Step
from espdl.dl.module.creator import ModuleCreator
from espdl.dl.operators import Operator, create_operators
from espdl.dl.profiling import Profiling
from espdl.dl.selftest import OutputCheck, TestResult, check_output
from espdl.dl.target import Target, resolve_target
from espdl.dtypes import Arithmetic, Int16Lut, ModelLocation, RuntimeMode
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, FbsModel
from espdl.tensor import TensorBase
from espdl.wording import at_node


class Model(Profiling):
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
        int16_lut: how 16-bit tables with a step are read: ``nearest`` entry, or ``interpolating``, as ESP-DL did before 2026-07-15.
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
        int16_lut: str | Int16Lut = Int16Lut.NEAREST,
        psram: bool = True,
        partitions: Mapping[str, Any] | None = None,
    ) -> None:
        self._requested_target = target
        self._arithmetic = Arithmetic(arithmetic)
        self._kernels = get_kernels(backend)
        self._int16_lut = Int16Lut.parse(int16_lut)
        self._psram = psram
        self._partitions = partitions
        self._loader: FbsLoader | None = None
        self._fbs_model: FbsModel | None = None
        self._context = ModelContext()
        self._operators: list[Operator] = []
        self._steps: list[Step] = []
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
        self._steps = [self._bind(operator) for operator in self._operators]

    def _bind(self, operator: Operator) -> Step:
        module = operator.module
        inputs = [self._context.get_tensor(index) for index in module.m_inputs_index]
        outputs = [self._named_tensor(name) if name else None for name in operator.outputs]
        try:
            if type(module).forward is not Module.forward:
                return lambda: module.forward(self._context, RuntimeMode.SINGLE_CORE)
            return module.bind_outputs(inputs, outputs, self._context.machine)
        except EspdlError as error:
            raise error.at(at_node(module.name, module.op_type)) from None

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
        """Chip, arithmetic, kernels and table rule of a run."""
        return Machine(self.chip, self._arithmetic, self._kernels, self._int16_lut)

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
        found: list[str] = list(self.memory.plan.hazards)
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
        """Any variable or parameter by name. A variable's content is valid only until its memory is used again."""
        self._require_names("get_intermediate")
        return self._named_tensor(name)

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

    # Running

    def run(
        self,
        inputs: TensorBase | ArrayLike | Mapping[str, Any] | None = None,
        mode: RuntimeMode = RuntimeMode.SINGLE_CORE,
        outputs: Mapping[str, TensorBase] | None = None,
        *,
        stages: int = 1,
        stage: int = 0,
    ) -> None:
        """Runs the model on what its inputs hold, or on ``inputs``.

        Args:
            inputs: a tensor or array for the alphabetically first input, or one per input by name. Integers of the input's own type
                are taken raw; other types are converted as :meth:`TensorBase.assign` does.
            mode: on which cores; results do not depend on it.
            outputs: tensors to fill by name, intermediate ones included; each is assigned right after its operator ran.
            stages: number of parts the list of operators is cut into.
            stage: the part to run: operators [stage * n / stages, (stage + 1) * n / stages).

        Raises:
            EspdlError: for an input that is missing, unknown, or of another shape or type, and for a stage that does not exist.
        """
        if inputs is not None:
            self._assign_inputs(inputs)
        if not 0 <= stage < stages:
            raise EspdlError(f"there is no stage {stage} of {stages}")
        count = len(self._steps)
        part = slice(stage * count // stages, (stage + 1) * count // stages)
        if not outputs:
            with np.errstate(all="ignore"):
                for step in self._steps[part]:
                    step()
            return
        self._require_names("run")
        for name in outputs:
            self._named_tensor(name)
        for produced in self._produced(part):
            for name in produced:
                if name in outputs and not outputs[name].assign(self._named_tensor(name), rounding=self.chip.rounding):
                    raise EspdlError(f"output {name!r} cannot be assigned to the given tensor", why="shape or type differ")

    def _produced(self, part: slice = slice(None)) -> Iterator[tuple[str, ...]]:
        """Runs operators one by one; yields the names of what each has just produced, before its memory is used again."""
        for operator, step in zip(self._operators[part], self._steps[part], strict=True):
            with np.errstate(all="ignore"):
                step()
            yield operator.produces

    def run_arrays(self, inputs: Mapping[str, ArrayLike], names: Iterable[str] | None = None) -> dict[str, NDArray]:
        """Runs on arrays and returns copies of raw arrays.

        Args:
            inputs: one array per model input: raw integers of its type, or floats to be quantized with its exponent.
            names: tensors to return, intermediate ones included; the model's outputs when None.

        Returns:
            Raw integer (or float32) arrays in the runtime's layout, by name.
        """
        self._assign_inputs(inputs)
        if names is None:
            self.run()
            return {name: tensor.data.copy() for name, tensor in self._outputs.items()}
        wanted = set(names)
        results = {name: self._named_tensor(name).data.copy() for name in wanted & self._inputs.keys()}
        for produced in self._produced():
            results |= {name: self._named_tensor(name).data.copy() for name in produced if name in wanted}
        if missing := wanted - results.keys():
            raise EspdlError(f"no operator produces {', '.join(sorted(missing))}")
        return results

    @property
    def variable_names(self) -> list[str]:
        """Names of the model's inputs and of everything its operators produce, in running order."""
        names = list(self.fbs_model.get_graph_inputs())
        for operator in self._operators:
            names += operator.produces
        return names

    def _assign_inputs(self, inputs: Any) -> None:
        assign_inputs(self._inputs, inputs, self.chip.rounding)

    def reset(self) -> None:
        """Clears the state that operators carry between runs."""
        for module in self.modules:
            module.reset()

    def minimize(self) -> None:
        """Drops the names of intermediate tensors: get_intermediate, test and module information stop working."""
        self._minimized = True
        self._context.minimize()
        self.fbs_model.clear_map()
        ModuleCreator.get_instance().clear()

    def test(self) -> TestResult:
        """Runs on the embedded test inputs and compares every embedded test output right after its operator (spec 4.3).

        Returns:
            The comparison; true when everything is equal (int16 within 1, float within 2e-5).

        Raises:
            EspdlError: when the file holds no test values.
        """
        self._require_names("test")
        fbs_model = self.fbs_model
        names = fbs_model.get_test_outputs_name()
        if not names:
            raise EspdlError(
                "the file holds no test values", hint="quantize with test values (--test-values, export_test_values=True)"
            )
        inputs = {name: fbs_model.get_test_input_tensor(name) for name in self._inputs}
        if absent := [name for name, tensor in inputs.items() if tensor is None]:
            raise EspdlError(f"the file holds no test value for input {absent[0]!r}")
        self.reset()
        self._assign_inputs(inputs)
        expected = {name: tensor for name in names if (tensor := fbs_model.get_test_output_tensor(name)) is not None}
        for name in expected:
            self._named_tensor(name)
        checks: list[OutputCheck] = []
        for produced in self._produced():
            checks += [check_output(name, self._named_tensor(name), expected[name]) for name in produced if name in expected]
        if missing := expected.keys() - {check.name for check in checks}:
            raise EspdlError(f"no operator produces the test output {', '.join(sorted(missing))}")
        return TestResult(tuple(checks))


def _pick(tensors: Mapping[str, TensorBase], name: str, kind: str) -> TensorBase:
    if not name:
        if not tensors:
            raise EspdlError(f"the model has no {kind}")
        return next(iter(tensors.values()))
    try:
        return tensors[name]
    except KeyError:
        raise EspdlError(f"the model has no {kind} {name!r}", hint=f"{kind}s: " + ", ".join(tensors)) from None
