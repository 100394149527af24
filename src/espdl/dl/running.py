"""Running a model: whole, in parts, operator by operator, on many inputs at once, and on its test values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.chips import Chip
from espdl.dl.batch import run_many
from espdl.dl.compile import BoundOperator, Program, compile_steps
from espdl.dl.context import ModelContext
from espdl.dl.feeding import assign_inputs
from espdl.dl.machine import Machine
from espdl.dl.memory import MemoryManagerGreedy
from espdl.dl.module.base import Module, Step
from espdl.dl.operators import Operator
from espdl.dl.selftest import OutputCheck, TestResult, check_output
from espdl.dtypes import RuntimeMode
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from espdl.tensor import TensorBase


class Running(ABC):
    """The running methods of ``Model``."""

    _context: ModelContext
    _operators: Sequence[Operator]
    _inputs: dict[str, TensorBase]
    _outputs: dict[str, TensorBase]
    _steps: Sequence[Step]
    _singles: list[Program]
    _bound_to: list[tuple[TensorBase, NDArray]]
    _program: Program | None
    _keeps_intermediates: bool
    _absent: frozenset[str]
    _workers: list[Self]

    @property
    @abstractmethod
    def fbs_model(self) -> FbsModel:
        """The file the model was made from."""

    @property
    @abstractmethod
    def machine(self) -> Machine:
        """Chip, arithmetic and kernels of a run."""

    @property
    @abstractmethod
    def memory(self) -> MemoryManagerGreedy:
        """The memory manager with its plan."""

    @property
    @abstractmethod
    def modules(self) -> list[Module]:
        """The operators in running order."""

    @property
    def chip(self) -> Chip:
        """The chip whose results a run gives."""
        return self.machine.chip

    @abstractmethod
    def _require_names(self, method: str) -> None:
        """Raises EspdlError when minimize() has dropped the names that ``method`` needs."""

    @abstractmethod
    def _named_tensor(self, name: str) -> TensorBase:
        """A tensor by name. Raises EspdlError when there is none."""

    @abstractmethod
    def clone(self) -> Self:
        """The same model with memory of its own."""

    @abstractmethod
    def get_inputs(self) -> dict[str, TensorBase]:
        """Input tensors by name."""

    @abstractmethod
    def get_outputs(self) -> dict[str, TensorBase]:
        """Output tensors by name."""

    def workers(self, count: int) -> list[Self]:
        """Clones that are kept for :meth:`run_many`."""
        while len(self._workers) < count:
            self._workers.append(self.clone())
        return self._workers[:count]

    # Binding

    def _bind_all(self) -> None:
        """Binds every operator to the arrays that its tensors have now."""
        self._steps = [self._bind(operator) for operator in self._operators]
        watched = [*self._inputs.values(), *self._outputs.values(), *(tensor for tensor, _ in self._bound_to)]
        self._bound_to = [(tensor, tensor.data) for tensor in {id(tensor): tensor for tensor in watched}.values()]
        self._program = None
        self._singles = []
        self._absent = frozenset()

    def _bind(self, operator: Operator) -> Step:
        module = operator.module
        inputs = [self._context.get_tensor(index) for index in module.m_inputs_index]
        outputs = [tensor for index in module.m_outputs_index if (tensor := self._context.get_tensor(index)) is not None]
        try:
            if type(module).forward is not Module.forward:
                return lambda: module.forward(self._context, RuntimeMode.SINGLE_CORE)
            return module.bind(inputs, outputs, self.machine)
        except EspdlError as error:
            raise error.at(f"node {module.name!r} ({module.op_type})") from None

    def _watch(self, tensor: TensorBase) -> None:
        """Notices when ``tensor``, which a user has in hand, is given other memory."""
        if all(tensor is not known for known, _ in self._bound_to):
            self._bound_to.append((tensor, tensor.data))

    def _rebind_if_moved(self) -> None:
        for tensor, array in self._bound_to:
            if tensor.data is not array:
                return self._bind_all()

    def _keep_intermediates(self) -> None:
        """Fuses nothing from now on."""
        if not self._keeps_intermediates:
            self._keeps_intermediates, self._program = True, None

    def _compiled(self) -> Program:
        if self._program is None:
            variables = self._context.m_variables
            names = {id(tensor): name for name, tensor in self._inputs.items()}
            for operator in self._operators:
                for index, name in zip(operator.module.m_outputs_index, operator.produces, strict=True):
                    names[id(variables[index])] = name
            operators = []
            for operator, step in zip(self._operators, self._steps, strict=True):
                tensors = map(self._context.get_tensor, operator.module.m_inputs_index)
                reads = tuple(names[id(tensor)] for tensor in tensors if id(tensor) in names)
                operators.append(BoundOperator(step, reads, operator.produces))
            arrays = {names[id(tensor)]: tensor.data for tensor in variables if tensor is not None and id(tensor) in names}
            may_fuse = not self._keeps_intermediates and not self.memory.plan.hazards
            self._program = compile_steps(operators, arrays, frozenset(self._outputs), self.machine.kernels, may_fuse=may_fuse)
        return self._program

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
        self._rebind_if_moved()
        pooled = mode is not RuntimeMode.SINGLE_CORE
        if not outputs and stages == 1:
            program = self._compiled()
            self._absent = program.absent
            program.run(pooled=pooled)
            return
        count = len(self._steps)
        part = slice(stage * count // stages, (stage + 1) * count // stages)
        if not outputs:
            for _ in self._produced(part, pooled=pooled):
                pass
            return
        self._require_names("run")
        for name in outputs:
            self._named_tensor(name)
        for produced in self._produced(part, pooled=pooled):
            for name in produced:
                if name in outputs and not outputs[name].assign(self._named_tensor(name), rounding=self.chip.rounding):
                    raise EspdlError(f"output {name!r} cannot be assigned to the given tensor", why="shape or type differ")

    def _produced(self, part: slice = slice(None), *, pooled: bool = False) -> Iterator[tuple[str, ...]]:
        """Runs operators one by one; yields the names of what each has just produced, before its memory is used again."""
        self._rebind_if_moved()
        self._absent = frozenset()
        if not self._singles:
            self._singles = [Program([step], self.machine.kernels, frozenset()) for step in self._steps]
        for operator, program in zip(self._operators[part], self._singles[part], strict=True):
            program.run(pooled=pooled)
            yield operator.produces

    def run_arrays(
        self,
        inputs: Mapping[str, ArrayLike],
        names: Iterable[str] | None = None,
        mode: RuntimeMode = RuntimeMode.SINGLE_CORE,
    ) -> dict[str, NDArray]:
        """Runs on arrays and returns copies of raw arrays.

        Args:
            inputs: one array per model input: raw integers of its type, or floats to be quantized with its exponent.
            names: tensors to return, intermediate ones included; the model's outputs when None.
            mode: on which cores; results do not depend on it.

        Returns:
            Raw integer (or float32) arrays in the runtime's layout, by name.
        """
        self._assign_inputs(inputs)
        if names is None:
            self.run(mode=mode)
            return {name: tensor.data.copy() for name, tensor in self._outputs.items()}
        wanted = set(names)
        results = {name: self._named_tensor(name).data.copy() for name in wanted & self._inputs.keys()}
        for produced in self._produced(pooled=mode is not RuntimeMode.SINGLE_CORE):
            results |= {name: self._named_tensor(name).data.copy() for name in produced if name in wanted}
        if missing := wanted - results.keys():
            raise EspdlError(f"no operator produces {', '.join(sorted(missing))}")
        return results

    def run_many(self, inputs: Mapping[str, ArrayLike], threads: int | None = None) -> dict[str, NDArray]:
        """Runs on many inputs, several at a time, each on a thread and in memory of its own.

        Args:
            inputs: one array per model input, N of them stacked on an axis of their own or along the first axis; values as in
                :meth:`run_arrays`.
            threads: how many run at a time; None takes ``ESPDL_THREADS``, else the number of cores.

        Returns:
            Raw arrays of the model's outputs by name, [N, *shape].

        Raises:
            EspdlError: for a model that carries state from run to run, and for inputs that do not fit.
        """
        return run_many(self, {name: np.asarray(array) for name, array in inputs.items()}, threads)

    def _assign_inputs(self, inputs: Any) -> None:
        assign_inputs(self._inputs, inputs, self.chip.rounding)

    def reset(self) -> None:
        """Clears the state that operators carry between runs."""
        for module in self.modules:
            module.reset()

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
