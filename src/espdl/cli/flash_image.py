"""``espdl flash-image``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from espdl.cli.options import FILE, Force, Json, ModelFiles, OutputFile, place


def command(
    models: ModelFiles,
    /,
    *,
    partitions: Annotated[Path, Parameter(help="partitions.csv of the project, or the binary table.", validator=FILE)],
    label: Annotated[str, Parameter(help="Label of the partition.")] = "model",
    output: Annotated[OutputFile, Parameter(name=("--output", "-o"), help="Image of the partition.")] = Path("model.bin"),
    flash: Annotated[
        OutputFile | None, Parameter(help="Put the model into this image of the whole flash too; made when it is not there.")
    ] = None,
    flash_size: Annotated[str | None, Parameter(validator=place, help="Flash of the chip, as 16M: the table must fit.")] = None,
    table_offset: Annotated[str, Parameter(validator=place, help="CONFIG_PARTITION_TABLE_OFFSET of the project.")] = "0x8000",
    update: Annotated[bool, Parameter(help="Add or enlarge the row in partitions.csv.", show_default=False)] = False,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write models as the image of the flash partition that the chip loads them from.

    Several models become a PDL3 package. The partition table is checked:
    labels, borders, overlaps, and whether the models fit. What is printed
    ends with the esptool command that writes the image.

    Example: espdl flash-image net.espdl --partitions partitions.csv --update
    """
    from espdl.cli.output import print_facts, print_json
    from espdl.deploy.flash import write_model_partition
    from espdl.sizes import parse_size
    from espdl.wording import kilobytes

    done = write_model_partition(
        models,
        partitions,
        label=label,
        out=output,
        flash=flash,
        flash_size=flash_size,
        table_offset=parse_size(table_offset, "table offset"),
        update=update,
        force=force,
    )
    command_line = done.write_command(output)
    if json:
        print_json({**done.to_dict(), "image": str(output), "flash": flash, "command": command_line})
        return 0
    facts = [
        ("models", ", ".join(done.models)),
        ("image", f"{output}, {kilobytes(done.bytes)}"),
        ("partition", f"{done.label!r} at {done.offset:#x}, {kilobytes(done.size)}, {done.bytes * 100 / done.size:.0f} % used"),
    ]
    if done.updated:
        facts.append(("updated", str(partitions)))
    if flash is not None:
        facts.append(("whole flash", str(flash)))
    print_facts(facts)
    print(f"\nTo flash it:\n  {command_line}")
    return 0
