"""Whether a model fits a module, and by how much: the chip's own plan against the memories that are there (runtime spec 4.4, 5)."""

from __future__ import annotations

import enum
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from espdl.bias_layout import packed_bytes
from espdl.chips import Chip
from espdl.dl import Model
from espdl.dl.module.conv import Conv
from espdl.dl.module.gemm import Gemm
from espdl.dl.profile import MemInfo
from espdl.dtypes import QuantType
from espdl.estimate.modules import KB, MB, BoardModule, get_module
from espdl.estimate.packing import InternalRam, live_bytes, search

PROGRAM = MB
"""Flash that a program with ESP-DL takes beside the model, at least."""

ROOM_FOR_COPY = 0.75
"""Share of the PSRAM that variables and copied parameters may take where nothing is said: pictures and the program need the rest."""

LEFT_IN_FLASH = re.compile(r"coco_(detect|pose|seg)_"), 9 * MB
"""Files whose component in ESP-DL leaves the parameters in flash, and below how much PSRAM it does (spec 7.9)."""


class ParamCopy(enum.Enum):
    """Whether the chip copies parameters to RAM: ``param_copy`` of ``Model``, or what suits the file and the module."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True)
class Need:
    """Bytes needed of one memory, and how many there are."""

    needed: int
    available: int

    @property
    def missing(self) -> int:
        """Bytes too little; 0 where it fits."""
        return max(self.needed - self.available, 0)


@dataclass(frozen=True)
class MemoryEstimate:
    """A model on a module.

    Attributes:
        module: see :class:`BoardModule`.
        usage: bytes by use and memory, as ``Model.get_memory_info`` gives them.
        param_copy: whether parameters are copied to RAM.
        file_in_ram: whether the whole file is there already (decrypted, from a card, or moved by the firmware): nothing is copied then.
        by_component: whether they are not copied because ESP-DL's component does not.
        max_internal_size: as given to the planner.
        arena: bytes of both arenas. least_arena: what an optimal packing of the same tensors needs at least.
        repacked: bytes of RAM that come on top at the first run, where the vector unit wants biases in another form (spec 2.5).
        internal, psram, flash: needs of the module's memories; what the runtime's own objects take is not known and not in them.
        internal_ram: what internal RAM would do; None for a module without PSRAM.
    """

    module: BoardModule
    usage: dict[str, MemInfo]
    param_copy: bool
    file_in_ram: bool
    by_component: bool
    max_internal_size: int
    arena: int
    least_arena: int
    repacked: int
    internal: Need
    psram: Need
    flash: Need
    internal_ram: InternalRam | None

    @property
    def fits(self) -> bool:
        return not (self.internal.missing or self.psram.missing or self.flash.missing)

    @property
    def parameters_in(self) -> str:
        """Where a running model reads its parameters: ``flash``, ``psram`` or ``internal``."""
        if not (self.param_copy or self.file_in_ram):
            return "flash"
        return "psram" if self.module.psram else "internal"

    @property
    def above_optimum(self) -> float:
        """By what share the arena is larger than the least possible; 0 for the best plan there is."""
        return self.arena / self.least_arena - 1 if self.least_arena else 0.0

    def verdict(self) -> str:
        """``fits`` or ``does not fit`` with figures, one sentence."""
        needs = (("internal RAM", self.internal), ("PSRAM", self.psram), ("flash", self.flash))
        if self.fits:
            used = ", ".join(
                f"{size_text(need.needed)} of {size_text(need.available)} {name}" for name, need in needs if need.needed
            )
            return f"fits {self.module.name}: {used}"
        short = ", ".join(f"{size_text(need.missing)} of {name} too little" for name, need in needs if need.missing)
        return f"does not fit {self.module.name}: {short}"

    def to_dict(self) -> dict[str, Any]:
        found = self.internal_ram
        return {
            "module": asdict(self.module),
            "usage_bytes": {use: asdict(size) for use, size in self.usage.items()},
            "param_copy": self.param_copy,
            "max_internal_size": self.max_internal_size,
            "arena_bytes": self.arena,
            "least_arena_bytes": self.least_arena,
            "repacked_bias_bytes": self.repacked,
            "needs_bytes": {name: asdict(getattr(self, name)) for name in ("internal", "psram", "flash")},
            "fits": self.fits,
            "verdict": self.verdict(),
            "internal_ram": None if found is None else asdict(found),
        }


def size_text(size: int) -> str:
    """``34.6 KB`` or ``2.85 MB``, of 1024 and 1024 * 1024 bytes."""
    return f"{size / MB:.2f} MB" if size >= MB else f"{size / KB:.1f} KB"


def load_for_module(
    source: str | Path, module: BoardModule | str | None = None, target: str | Chip | None = None, **options: Any
) -> tuple[Model, BoardModule]:
    """A model planned for a module: all of it in internal RAM where there is no PSRAM.

    Args:
        source: the ``.espdl`` file.
        module: a module or its name; None for the usual one of the model's chip.
        target: chip; None takes it from the file.
        options: others of :class:`espdl.dl.Model`.
    """
    model = Model(source, target=target, **options)
    board = module if isinstance(module, BoardModule) else get_module(model.chip, module)
    return (model if board.psram else Model(source, target=target, psram=False, **options)), board


def estimate_memory(
    model: Model,
    module: BoardModule | str | None = None,
    param_copy: ParamCopy | str = ParamCopy.AUTO,
    *,
    search_internal: bool = True,
    chip: Chip | None = None,
) -> MemoryEstimate:
    """What a built model takes of a module.

    Args:
        model: built with the ``max_internal_size`` in question, and with ``psram=False`` for a module without.
        module: a module or its name; None for the usual one of the model's chip.
        param_copy: ``yes`` or ``no`` as given to ``Model`` on the chip; ``auto`` copies where parameters and variables take at most
            three quarters of the PSRAM, and does what ESP-DL's component does with a file that has one (``coco_...``).
        search_internal: whether to look for useful sizes of internal RAM, which takes up to half a second.
        chip: another one than the model's, as if the network had been quantized for it.
    """
    board = module if isinstance(module, BoardModule) else get_module(chip or model.chip, module)
    usage = model.get_memory_info()
    variable = usage["variable"]
    parameters = usage["parameter_copy"].total or usage["parameter"].total
    in_ram = not usage["fbs_model"].flash or usage["fbs_model"].total > usage["fbs_model"].flash
    files, least = LEFT_IN_FLASH
    by_component = ParamCopy(param_copy) is ParamCopy.AUTO and not in_ram and board.psram < least
    by_component = by_component and files.match(PurePath(model.fbs_model.source).name) is not None
    copied = ParamCopy(param_copy) is ParamCopy.YES and not in_ram
    if ParamCopy(param_copy) is ParamCopy.AUTO and not in_ram and not by_component:
        room, variables = (board.psram, variable.psram) if board.psram else (board.free_internal, variable.total)
        copied = parameters + variables <= ROOM_FOR_COPY * room
    if not in_ram:
        usage = _placed(usage, parameters if copied else 0, in_psram=board.psram > 0)
    repacked = _repacked(model, chip or model.chip, copied)
    total = usage["total"] + (MemInfo(psram=repacked) if board.psram else MemInfo(internal=repacked))
    steps = len(model.modules)
    return MemoryEstimate(
        module=board,
        usage=usage,
        param_copy=copied,
        file_in_ram=in_ram,
        by_component=by_component,
        max_internal_size=model.memory.max_internal_size,
        arena=variable.total,
        least_arena=max(live_bytes(model.memory.plan, steps), default=0),
        repacked=repacked,
        internal=Need(total.internal, board.free_internal),
        psram=Need(total.psram, board.psram),
        flash=Need(total.flash, board.flash - PROGRAM),
        internal_ram=search(model.memory.plan, steps, board.free_internal) if search_internal and board.psram else None,
    )


def _repacked(model: Model, chip: Chip, copied: bool) -> int:
    """Bytes of packed biases, less those of the copies that they take the place of."""
    size = 0
    for module in model.modules:
        bias = module.parameters.get(2) if isinstance(module, (Conv, Gemm)) else None
        bits = chip.macs(module.quant_type).bias_bits
        if bias is None or bits is None or not isinstance(module, (Conv, Gemm)) or module.is_float:
            continue
        lanes = chip.lanes(1 if module.quant_type is QuantType.SYMM_8BIT else 2)
        size += packed_bytes(bias.size, bits, lanes, isinstance(module, Conv) and module.depthwise)
        size -= bias.get_aligned_bytes() if copied else 0
    return max(size, 0)


def _placed(usage: dict[str, MemInfo], copied: int, *, in_psram: bool) -> dict[str, MemInfo]:
    """The same figures with that many bytes of parameters in RAM."""
    copy = MemInfo(psram=copied) if in_psram else MemInfo(internal=copied)
    total = usage["fbs_model"] + usage["variable"] + copy
    file = usage["fbs_model"]
    parameter = replace(usage["parameter"])
    if file.flash and not parameter.flash:
        parameter = replace(parameter, flash=usage["parameter_copy"].total)
    return usage | {"parameter": parameter, "parameter_copy": copy, "total": total}
