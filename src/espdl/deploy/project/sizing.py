"""What a project needs of the chip: RAM from the memory plan, flash from the sizes of program and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from espdl.alignment import round_up
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.fbs.partition_table import SECTOR, TABLE_OFFSET, Partition, check_partitions

PROGRAM_BYTES = 2 << 20
"""Room for a program with all of ESP-DL, without a model."""
FLASH_SIZES_MB = (2, 4, 8, 16, 32)
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


def memory_need(model: Model, file_bytes: int) -> MemoryNeed:
    """What :meth:`espdl.dl.Model.get_memory_info` says, in the words of a project."""
    info = model.get_memory_info()
    copied, variables = info["parameter_copy"], info["variable"]
    in_ram = info["fbs_model"]
    return MemoryNeed(
        internal=copied.internal + variables.internal + in_ram.internal,
        psram=copied.psram + variables.psram + in_ram.psram,
        activations=variables.internal + variables.psram,
        parameters=copied.internal + copied.psram,
        flash=file_bytes,
    )


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


def flash_megabytes(partitions: Sequence[Partition], wanted: int | None) -> int:
    """The flash that the table needs: the smallest size on the market, or the one ``wanted`` if it is large enough.

    Raises:
        EspdlError: when no such flash is large enough.
    """
    end = max(row.end for row in partitions)
    if wanted is not None:
        check_partitions(partitions, flash_size=wanted << 20)
        return wanted
    for size in FLASH_SIZES_MB:
        if end <= size << 20:
            return size
    raise EspdlError(
        f"program and model take {end / (1 << 20):.1f} MB of flash, and there are {FLASH_SIZES_MB[-1]} MB at most",
        hint="put the model on an SD card: --location sdcard",
    )
