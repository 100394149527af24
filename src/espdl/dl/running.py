"""Running a model: whole, in parts, operator by operator, on many inputs at once, and on its test values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from numpy.typing import ArrayLike, NDArray

from espdl.dl.compile import BoundOperator, Program, compile_steps
from espdl.dl.feeding import assign_inputs
from espdl.dl.loading import Loading
from espdl.dl.selftest import OutputCheck, TestResult, check_output
from espdl.dtypes import RuntimeMode
from espdl.errors import EspdlError
from espdl.tensor import TensorBase
from espdl.wording import nearest


class Running(Loading):
    """The running methods of ``Model``."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._program: Program | None = None
        self._singles: list[Program] = []
        self._absent: frozenset[str] = frozenset()
        self._keeps_intermediates = False

    def build(self, *arguments: Any, **named: Any) -> None:
        self._keeps_intermediates = False
        super().build(*arguments, **named)

    build.__doc__ = Loading.build.__doc__

    def _bind_all(self) -> None:
        super()._bind_all()
        self._program, self._singles, self._absent = None, [], frozenset()

    def _keep_intermediates(self) -> None:
        """Fuses nothing from now on."""
        if not self._keeps_intermediates:
            self._keeps_intermediates, self._program = True, None

    def _compiled(self) -> Program:
        if self._program is None:
            variables = self._context.m_variables
            names = {id(tensor): name for name, tensor in self._inputs.items()}
            for operator in self._operators:
                for index, name in zip(operator.module.m_outputs_index, operator.outputs, strict=True):
                    if name:
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

    def get_intermediate(self, name: str) -> TensorBase:
        """Any variable or parameter by name. A variable's content is valid only until its memory is used again.

        Runs fuse operators, and what lies between those is not computed. From the first call for a variable on, everything is.

        Raises:
            EspdlError: for an unknown name, and for a variable that the last run left out.
        """
        tensor = super().get_intermediate(name)
        if self._context.get_variable_index(name) >= 0 and name not in self._inputs and name not in self._outputs:
            self._keep_intermediates()
        if name in self._absent:
            raise EspdlError(
                f"the last run did not compute {name!r}",
                why="it lies between operators that ran as one",
                hint="run again, or name it in run_arrays(..., names)",
            )
        return tensor

    # Running

    def run(
        self,
        inputs: TensorBase | ArrayLike | Mapping[str, Any] | RuntimeMode | None = None,
        mode: RuntimeMode = RuntimeMode.SINGLE_CORE,
        outputs: Mapping[str, TensorBase] | None = None,
        *,
        stages: int = 1,
        stage: int = 0,
    ) -> None:
        """Runs the model on what its inputs hold, or on ``inputs``.

        Args:
            inputs: a tensor or array for the only input, or one per input by name. Integers of the input's own type are taken raw;
                other types are converted as :meth:`TensorBase.assign` does. The mode may stand here instead, as in the guide.
            mode: on which cores; results do not depend on it.
            outputs: tensors to fill by name, intermediate ones included; each is assigned right after its operator ran.
            stages: number of parts the list of operators is cut into.
            stage: the part to run: operators [stage * n / stages, (stage + 1) * n / stages).

        Raises:
            EspdlError: for an input that is missing, unknown, or of another shape or type, and for a stage that does not exist.
        """
        if inputs is not None and not isinstance(inputs, RuntimeMode):
            self._assign_inputs(inputs)
        self._require_built()
        if not 0 <= stage < stages:
            raise EspdlError(f"there is no stage {stage} of {stages}")
        given_mode = inputs if isinstance(inputs, RuntimeMode) else mode
        pooled = given_mode is not RuntimeMode.SINGLE_CORE
        if not outputs and stages == 1:
            self._run_whole(pooled)
            return
        count = len(self._steps)
        part = slice(stage * count // stages, (stage + 1) * count // stages)
        if not outputs:
            for _ in self._produced(part, pooled=pooled):
                pass
            return
        self._require_names("run")
        self._require_produced(outputs)
        for produced in self._produced(part, pooled=pooled):
            for name in produced:
                if name in outputs and not outputs[name].assign(self._named_tensor(name), rounding=self.chip.rounding):
                    raise EspdlError(f"output {name!r} cannot be assigned to the given tensor", why="shape or type differ")

    def _run_whole(self, pooled: bool) -> None:
        self._rebind_if_moved()
        program = self._compiled()
        self._absent = program.absent
        try:
            program.run(pooled=pooled)
        except Exception:
            # the flat list does not know its nodes: the walk operator by operator fails at the same one and names it
            for _ in self._produced():
                pass
            raise

    def _produced(self, part: slice = slice(None), *, pooled: bool = False) -> Iterator[tuple[str, ...]]:
        """Runs operators one by one; yields the names of what each has just produced, before its memory is used again."""
        self._rebind_if_moved()
        self._absent = frozenset()
        if not self._singles:
            self._singles = [Program([step], self.machine.kernels, frozenset()) for step in self._steps]
        for operator, program in zip(self._operators[part], self._singles[part], strict=True):
            with operator.blame:
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
        self._require_names("run_arrays")
        self._require_produced(wanted - self._inputs.keys())
        results = {name: self._inputs[name].data.copy() for name in wanted & self._inputs.keys()}
        for produced in self._produced(pooled=mode is not RuntimeMode.SINGLE_CORE):
            results |= {name: self._named_tensor(name).data.copy() for name in produced if name in wanted}
        return results

    def _require_built(self) -> None:
        if self._memory is None:
            raise EspdlError("the model is not built", hint="call build() first")

    def _require_produced(self, names: Iterable[str]) -> None:
        """Raises :class:`EspdlError` for the name of a tensor that no operator makes, before anything runs."""
        if unknown := set(names) - {name for operator in self._operators for name in operator.produces}:
            raise EspdlError(
                f"no operator produces {', '.join(map(repr, sorted(unknown)))}", hint=nearest(min(unknown), self.variable_names)
            )

    def _assign_inputs(self, inputs: Any) -> None:
        self._require_built()
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
        self._require_produced(expected)
        checks: list[OutputCheck] = []
        for produced in self._produced():
            checks += [check_output(name, self._named_tensor(name), expected[name]) for name in produced if name in expected]
        return TestResult(tuple(checks))
