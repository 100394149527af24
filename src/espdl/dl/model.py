"""``Model``: loads a file, plans its memory, and runs it exactly as a chip would (guide 4.3, runtime spec 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from espdl.chips import Chip
from espdl.dl.batch import run_many
from espdl.dl.loading import Shapes
from espdl.dl.memory import MEMORY_MANAGER_GREEDY
from espdl.dl.module.creator import ModuleCreator
from espdl.dl.overloads import constructor_arguments
from espdl.dl.plan import MemoryPlan
from espdl.dl.profiling import Profiling
from espdl.dl.running import Running
from espdl.dtypes import Arithmetic, Int16Lut, ModelLocation
from espdl.errors import EspdlError
from espdl.fbs import FbsModel
from espdl.fbs.flash_image import Flash
from espdl.fbs.loader import Key, Source


class Options(TypedDict, total=False):
    """What a constructor takes beyond the guide's arguments, by keyword."""

    target: str | Chip | None
    arithmetic: str | Arithmetic
    backend: str | None
    int16_lut: str | Int16Lut
    psram: bool
    partitions: Mapping[str, Source] | None
    flash: Flash | None
    strict_onnx: bool


class Model(Running, Profiling):
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
        flash: the whole flash with its partition table, as a path or bytes of ``flash.bin`` or a :class:`espdl.fbs.FlashImage`.
        strict_onnx: whether operators give what ONNX says where ESP-DL does something else; :meth:`quirks` lists the nodes concerned.

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
        flash: Flash | None = None,
        strict_onnx: bool = False,
        **named: Any,
    ) -> None:
        self._workers: list[Model] = []
        self._workers_plan: MemoryPlan | None = None
        super().__init__(target, arithmetic, backend, int16_lut, psram, partitions, flash, strict_onnx)
        given = constructor_arguments(source, arguments, named)
        if source is None:
            if given:
                raise EspdlError(
                    f"there is nothing to load with {', '.join(given)}", hint="give a file, or call load() and build()"
                )
            return
        self.load(source, **{name: given.pop(name) for name in ("model", "location", "key", "param_copy") if name in given})
        self.build(**given)

    def minimize(self) -> None:
        """Drops the names of intermediate tensors: get_intermediate, test and module information stop working."""
        self._minimized = True
        self._context.minimize()
        self.fbs_model.clear_map()
        ModuleCreator.get_instance().clear()

    def clone(self) -> Model:
        """The same model with memory of its own: both may run at the same time, each on a thread."""
        self._require_names("clone")
        twin = Model(
            target=self.chip,
            arithmetic=self._arithmetic,
            backend=self._kernels.name,
            int16_lut=self._int16_lut,
            psram=self._psram,
            strict_onnx=self._strict_onnx,
        )
        twin.load(self.fbs_model)
        twin.build(self.memory.max_internal_size, input_shapes=self._input_shapes)
        return twin

    def workers(self, count: int) -> list[Model]:
        """Clones that are kept for :meth:`run_many`."""
        if self._workers_plan is not self.memory.plan:  # built again since
            self._workers, self._workers_plan = [], self.memory.plan
        while len(self._workers) < count:
            worker = self.clone()
            worker._compiled()
            self._workers.append(worker)
        return self._workers[:count]

    def run_many(self, inputs: Mapping[str, ArrayLike], threads: int | None = None) -> dict[str, NDArray]:
        """Runs on many inputs, several at a time, each on a thread and in memory of its own.

        Args:
            inputs: one array per model input, N of them stacked on an axis of their own or along the first axis; values as in
                :meth:`run_arrays`.
            threads: how many run at a time; None takes ``ESPDL_THREADS``, else the number of cores.

        Returns:
            Raw arrays of the model's outputs by name, N times their shape.

        Raises:
            EspdlError: for a model that carries state from run to run, and for inputs that do not fit.
        """
        return run_many(self, {name: np.asarray(array) for name, array in inputs.items()}, threads)
