"""The README of a project: what the model takes of the chip, where it lies in the flash, and which file is what."""

from __future__ import annotations

from collections.abc import Sequence

from espdl.deploy.project.render import render
from espdl.deploy.project.sizing import MemoryNeed
from espdl.estimate.latency import Latency
from espdl.estimate.memory import MemoryEstimate
from espdl.estimate.text import latency_facts
from espdl.fbs.partition_table import Partition, csv_size

_WHAT = {
    "main/app_main.cpp": "the program",
    "main/CMakeLists.txt": "how the model gets into the flash",
    "partitions.csv": "the flash",
    "sdkconfig.defaults": "chip, flash, PSRAM, caches",
    "main/idf_component.yml": "ESP-DL, fetched by the component manager",
    "main/Kconfig.projbuild": "pins of the SD card",
}


def readme(
    name: str,
    model_file: str,
    location: str,
    label: str,
    need: MemoryNeed,
    memory: MemoryEstimate,
    latency: Latency,
    rows: Sequence[Partition],
    flash_mb: int,
    files: Sequence[str],
) -> str:
    """The text.

    Args:
        name: of the project. model_file: name of the model's file in it.
        location, label: as chosen.
        need, memory, latency: of the model on the module of ``memory``.
        rows: of the partition table. flash_mb: megabytes of flash that it is for.
        files: of the project.
    """
    places = {
        "rodata": "the program itself, so every flash writes it again",
        "partition": f"partition `{label}`: `idf.py app-flash` writes the program alone",
        "sdcard": "a FAT32 card",
    }
    after_flash = f"\nCopy `main/models/{model_file}` to the top of a FAT32 card first.\n" if location == "sdcard" else ""
    takes = [
        ("activations (one arena)", need.activations),
        ("parameters copied to RAM", need.parameters),
        ("internal RAM in all, without the runtime's own objects", need.internal),
        ("PSRAM in all", need.psram),
        ("model file", need.flash),
    ]
    return render(
        "README.md",
        {
            "name": name,
            "model_file": model_file,
            "target": latency.chip.name,
            "after_flash": after_flash,
            "verdict": memory.verdict(),
            "memory_rows": "\n".join(f"| {text} | {size} |" for text, size in takes),
            "latency_rows": "\n".join(f"| {fact} | {text} |" for fact, text in latency_facts(latency)),
            "max_internal_size": memory.max_internal_size,
            "partition_rows": "\n".join(
                ["| partition | offset | size |", "|---|---:|---:|"]
                + [f"| `{row.label}` | {row.offset:#x} | {csv_size(row.size)} |" for row in rows]
            ),
            "flash_used": f"{max(row.end for row in rows) / (1 << 20):.1f}",
            "flash_mb": flash_mb,
            "place": places[location],
            "file_rows": "\n".join(f"| `{file}` | {_WHAT[file]} |" for file in files if file in _WHAT),
        },
    )
