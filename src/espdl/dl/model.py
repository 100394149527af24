"""``Model``: loads a file, plans its memory, and runs it exactly as a chip would (guide 4.3, runtime spec 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.chips import Chip
from espdl.dl.feeding import assign_inputs
from espdl.dl.loading import Shapes
from espdl.dl.memory import MEMORY_MANAGER_GREEDY
from espdl.dl.module.creator import ModuleCreator
from espdl.dl.overloads import constructor_arguments
from espdl.dl.profiling import Profiling
from espdl.dl.selftest import OutputCheck, TestResult, check_output
from espdl.dtypes import Arithmetic, Int16Lut, ModelLocation, RuntimeMode
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from espdl.fbs.loader import Key, Source
from espdl.tensor import TensorBase
from espdl.wording import nearest


class Options(TypedDict, total=False):
    """What a constructor takes beyond the guide's arguments, by keyword."""

    target: str | Chip | None
    arithmetic: str | Arithmetic
    backend: str | None
    int16_lut: str | Int16Lut
    psram: bool
    partitions: Mapping[str, Source] | None


class Model(Profiling):
    """A model file, ready to run.

    ``Model("net.espdl")``, ``Model(data, 1)`` and ``Model(data, "name.espdl")`` (a package, by index or name) and
    ``Model("label", ModelLocation.FLASH_PARTITION, partitions={"label": data})`` load, plan and bind at once; ``Model()`` is empty until
    :meth:`load` and :meth:`build` are called. Positional arguments stand as in the guide: (source, location, max_internal_size, mm_type,
    key, param_copy), with the index or name of a package before the location; or (fbs_model, max_internal_size, mm_type).

    Args:
        source: bytes-like, path, partition label, or an ``FbsModel``.
        model: which model of a package: index or name.
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

    @overload
    def __init__(
        self,
        source: Source,
        location: ModelLocation,
        max_internal_size: int = 0,
        mm_type: int = MEMORY_MANAGER_GREEDY,
        key: Key | None = None,
        param_copy: bool = True,
        input_shapes: Shapes | None = None,
        **options: Unpack[Options],
    ) -> None: ...

    @overload
    def __init__(
        self,
        source: Source | None = None,
        model: int | str | None = None,
        location: ModelLocation = ModelLocation.FLASH_RODATA,
        max_internal_size: int = 0,
        mm_type: int = MEMORY_MANAGER_GREEDY,
        key: Key | None = None,
        param_copy: bool = True,
        input_shapes: Shapes | None = None,
        **options: Unpack[Options],
    ) -> None: ...

    @overload
    def __init__(
        self,
        source: FbsModel,
        max_internal_size: int = 0,
        mm_type: int = MEMORY_MANAGER_GREEDY,
        input_shapes: Shapes | None = None,
        **options: Unpack[Options],
    ) -> None: ...

    def __init__(
        self,
        source: Any = None,
        *arguments: Any,
        target: str | Chip | None = None,
        arithmetic: str | Arithmetic = Arithmetic.SILICON,
        backend: str | None = None,
        int16_lut: str | Int16Lut = Int16Lut.NEAREST,
        psram: bool = True,
        partitions: Mapping[str, Source] | None = None,
        **named: Any,
    ) -> None:
        super().__init__(target, arithmetic, backend, int16_lut, psram, partitions)
        given = constructor_arguments(source, arguments, named)
        if source is None:
            if given:
                raise EspdlError(
                    f"there is nothing to load with {', '.join(given)}", hint="give a file, or call load() and build()"
                )
            return
        self.load(source, **{name: given.pop(name) for name in ("model", "location", "key", "param_copy") if name in given})
        self.build(**given)

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
        count = len(self._steps)
        part = slice(stage * count // stages, (stage + 1) * count // stages)
        if not outputs:
            with np.errstate(all="ignore"):
                for operator, step in zip(self._operators[part], self._steps[part], strict=True):
                    with operator.blame:
                        step()
            return
        self._require_names("run")
        self._require_produced(outputs)
        for produced in self._produced(part):
            for name in produced:
                if name in outputs and not outputs[name].assign(self._named_tensor(name), rounding=self.chip.rounding):
                    raise EspdlError(f"output {name!r} cannot be assigned to the given tensor", why="shape or type differ")

    def _produced(self, part: slice = slice(None)) -> Iterator[tuple[str, ...]]:
        """Runs operators one by one; yields the names of what each has just produced, before its memory is used again."""
        for operator, step in zip(self._operators[part], self._steps[part], strict=True):
            with np.errstate(all="ignore"), operator.blame:
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
        self._require_names("run_arrays")
        self._require_produced(wanted - self._inputs.keys())
        results = {name: self._inputs[name].data.copy() for name in wanted & self._inputs.keys()}
        for produced in self._produced():
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
        self._require_produced(expected)
        checks: list[OutputCheck] = []
        for produced in self._produced():
            checks += [check_output(name, self._named_tensor(name), expected[name]) for name in produced if name in expected]
        return TestResult(tuple(checks))
