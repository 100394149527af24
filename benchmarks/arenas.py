"""Arenas of real models beside the least that any plan needs: ``python benchmarks/arenas.py DIR`` prints a table in Markdown.

DIR holds one folder of .espdl files for each chip.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from espdl.dl import Model
from espdl.estimate.memory import MemoryEstimate, estimate_memory, size_text

SMALLEST = 1024
"""Bytes of arenas that are worth a line."""


def estimates(models: Path) -> Iterator[tuple[Path, MemoryEstimate]]:
    """Every model below ``models``, sorted, one of files that have the same name and arena."""
    seen = set()
    for file in sorted(models.rglob("*.espdl")):
        memory = estimate_memory(Model(file, target=file.parent.name))
        key = (file.stem, memory.arena)
        if memory.arena >= SMALLEST and key not in seen:
            seen.add(key)
            yield file, memory


def markdown(models: Path) -> str:
    """The table of docs/memory-and-latency.md."""
    lines = [
        "| model | arena | live at once | above | internal RAM that helps | internal RAM for all |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for file, memory in estimates(models):
        found = memory.internal_ram
        assert found is not None
        sizes = (
            size_text(memory.arena),
            size_text(memory.least_arena),
            f"{memory.above_optimum:.1%}",
            f"{found.least.max_internal_size} B" if found.least else "none",
            f"{found.whole.max_internal_size} B" if found.whole else "more than there is",
        )
        lines.append(f"| {file.stem} | " + " | ".join(sizes) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, help="folder with one folder of .espdl files per chip")
    print(markdown(parser.parse_args().models))


if __name__ == "__main__":
    main()
