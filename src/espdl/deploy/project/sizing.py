"""What a project needs of the chip: RAM from the memory plan, flash from the sizes of program and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espdl.alignment import round_up
from espdl.chips import Chip
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.estimate.memory import MemoryEstimate, ParamCopy, estimate_memory, load_for_module
from espdl.estimate.modules import FLASH_SIZES_MB, MB, BoardModule, get_module, module_names
from espdl.fbs.partition_table import SECTOR, TABLE_OFFSET, Partition, check_partitions

PROGRAM_BYTES = 2 * MB
"""Room for a program with all of ESP-DL, without a model."""
_APP_ALIGNMENT = 0x10000
_FACTORY, _NVS, _SPIFFS = 0x00, 0x02, 0x82


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on the chip, without what its own objects take.

    Attributes:
        internal, psram: RAM, of activations and copied parameters together.
        activations: of these, the arena of activations.
        parameters: of these, parameters copied from flash.
        flash: the model file.
    """

    internal: int
    psram: int
    activations: int
    parameters: int
    flash: int

    def words(self) -> str:
        """One line for people."""
        return f"{self.internal} bytes of internal RAM, {self.psram} bytes of PSRAM"


def memory_need(memory: MemoryEstimate, file_bytes: int) -> MemoryNeed:
    """An estimate in the words of a project.

    Args:
        memory: of the model on its module.
        file_bytes: of the model file.
    """
    copied, variables, total = (memory.usage[use] for use in ("parameter_copy", "variable", "total"))
    return MemoryNeed(
        internal=total.internal,
        psram=total.psram,
        activations=variables.internal + variables.psram,
        parameters=copied.internal + copied.psram,
        flash=file_bytes,
    )


def place_model(
    model: str | Path, chip: Chip, module: str | None, *, param_copy: bool, **options: Any
) -> tuple[Model, MemoryEstimate]:
    """A model planned for a module that it fits: the one asked for, else the usual one, else the smallest that is large enough.

    Args:
        model: the ``.espdl`` file.
        chip: of the module.
        module: its name, or None.
        param_copy: whether parameters are copied to RAM.
        options: others of :class:`espdl.dl.Model`.

    Raises:
        EspdlError: with the verdict of :func:`espdl.estimate.memory.estimate_memory` when it does not fit.
    """
    for board in [get_module(chip, module)] if module else _candidates(chip):
        loaded, _ = load_for_module(model, board, chip, param_copy=param_copy, **options)
        memory = estimate_memory(loaded, board, ParamCopy.YES if param_copy else ParamCopy.NO, search_internal=False)
        if memory.fits:
            return loaded, memory
    remedies = ["take a larger module with --module"] if module else []
    remedies += ["lower --max-internal-size"] if memory.internal.missing and memory.max_internal_size else []
    remedies += ["leave parameters in flash with --no-param-copy"] if param_copy else []
    raise EspdlError(
        "the model does not fit the module" if module else f"the model does not fit any module of {chip.name}",
        where=str(model),
        why=memory.verdict(),
        hint=", or ".join([*remedies, "give the network a smaller input or fewer channels"]),
    )


def _candidates(chip: Chip) -> list[BoardModule]:
    """The usual module of a chip, then those with more PSRAM, the smallest first."""
    usual, *others = (get_module(chip, name) for name in module_names(chip))
    return [
        usual,
        *sorted((board for board in others if board.psram > usual.psram), key=lambda board: (board.psram, board.flash)),
    ]


def partitions_for(model_bytes: int, label: str | None, *, program_bytes: int = PROGRAM_BYTES) -> list[Partition]:
    """The partition table: settings, the program, and a partition of its own for the model.

    Args:
        model_bytes: of the model file.
        label: of the model's partition; None when the model is part of the program or lies elsewhere.
        program_bytes: of the program, with the model if it is part of it.
    """
    nvs = Partition("nvs", 1, _NVS, TABLE_OFFSET + SECTOR, 6 * SECTOR)
    factory = Partition("factory", 0, _FACTORY, round_up(nvs.end, _APP_ALIGNMENT), round_up(program_bytes, _APP_ALIGNMENT))
    rows = [nvs, factory]
    if label is not None:
        # room for the next version of the model, which is seldom of the same size
        rows.append(Partition(label, 1, _SPIFFS, factory.end, round_up(model_bytes + model_bytes // 8, _APP_ALIGNMENT)))
    check_partitions(rows)
    return rows


def flash_megabytes(partitions: Sequence[Partition], module: BoardModule | None) -> int:
    """The flash that the table is for: that of ``module``, or without one the smallest that is large enough.

    Raises:
        EspdlError: when it ends behind the flash.
    """
    if module is not None:
        check_partitions(partitions, flash_size=module.flash)
        return module.flash // MB
    end = max(row.end for row in partitions)
    for size in FLASH_SIZES_MB:
        if end <= size * MB:
            return size
    raise EspdlError(
        f"program and model take {end / MB:.1f} MB of flash, and there are {FLASH_SIZES_MB[-1]} MB at most",
        hint="put the model on an SD card: --location sdcard",
    )
