"""``espdl project``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt
from cyclopts.validators import Path as PathValidator

from espdl.cli.options import FILE, Force, Json, ModelTarget, board


def command(
    action: Annotated[Literal["new"], Parameter(name="ACTION", help="new: write a project.")],
    directory: Annotated[Path, Parameter(name="DIR", help="Where to; new or empty.", validator=PathValidator(file_okay=False))],
    /,
    *,
    model: Annotated[Path, Parameter(help="The .espdl file.", validator=FILE)],
    target: ModelTarget = None,
    location: Annotated[
        Literal["rodata", "partition", "sdcard"], Parameter(help="Where the chip loads the model from.")
    ] = "rodata",
    pipeline: Annotated[
        Literal["none", "classify", "detect-yolo11", "detect-espdet"], Parameter(help="What the program does around the model.")
    ] = "none",
    image: Annotated[Path | None, Parameter(help="JPEG that a pipeline runs on.", validator=FILE)] = None,
    max_internal_size: Annotated[NonNegativeInt, Parameter(help="Bytes of internal RAM to fill first.")] = 0,
    param_copy: Annotated[
        bool, Parameter(negative="--no-param-copy", help="Whether the chip copies parameters from flash to RAM.")
    ] = True,
    module: Annotated[
        str | None,
        Parameter(
            validator=board,
            help="Module by its ending: N16R8 has 16 MB of flash, 8 MB of PSRAM; "
            "the smallest flash that is enough and the usual PSRAM by default.",
        ),
    ] = None,
    label: Annotated[str, Parameter(help="Label of the model's partition.")] = "model",
    force: Force = False,
    json: Json = False,
) -> int:
    """Write an ESP-IDF project that loads, tests, profiles and runs a model.

    Its partition table, its settings of flash and PSRAM, and the figures in
    its README come from the model's memory plan, the module and the estimated
    latency. A model that does not fit the module is refused.

    Example: espdl project new firmware --model net.espdl --target esp32s3 --location partition
    """
    from espdl.cli.output import print_facts, print_json
    from espdl.deploy.project import new_project
    from espdl.wording import kilobytes

    done = new_project(
        directory,
        model,
        target,
        location=location,
        pipeline=pipeline,
        picture=image,
        max_internal_size=max_internal_size,
        param_copy=param_copy,
        module=module,
        label=label,
        force=force,
    )
    if json:
        print_json(asdict(done))
        return 0
    print_facts(
        [
            ("project", str(done.directory)),
            ("files", ", ".join(done.files)),
            ("chip", f"{done.chip}, {done.flash_mb} MB of flash"),
            ("latency", f"{done.latency.text()}, estimated with its 90 % interval, on {done.module}"),
            ("RAM", f"{kilobytes(done.memory.internal)} internal, {kilobytes(done.memory.psram)} PSRAM"),
            ("flash", ", ".join(f"{row.label} {kilobytes(row.size)} at {row.offset:#x}" for row in done.partitions)),
        ]
    )
    print(f"\nNext:\n  cd {done.directory}\n  idf.py set-target {done.chip}\n  idf.py build flash monitor")
    return 0
