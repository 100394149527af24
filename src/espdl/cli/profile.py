"""``espdl profile``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt

from espdl.cli.options import Backend, Json, ModelFile, ModelTarget


def command(
    model: ModelFile,
    /,
    *,
    target: ModelTarget = None,
    max_internal_size: Annotated[
        NonNegativeInt, Parameter(help="Bytes of internal RAM to fill first; the rest goes to PSRAM.")
    ] = 0,
    sort: Annotated[bool, Parameter(help="Order modules by latency.", show_default=False)] = False,
    backend: Backend = None,
    json: Json = False,
) -> int:
    """Show what an .espdl file takes: memory on the chip, time on this PC.

    Memory is the plan that the chip's own runtime makes; what its objects
    take beside it ("others") is not known here. Latencies are those of this
    PC: they tell where the work is, not how long the chip takes.

    Example: espdl profile digits.espdl --target esp32s3 --sort
    """
    from espdl.cli.output import print_json
    from espdl.dl import Model
    from espdl.progress import stage

    with stage(f"running {model.name}"):
        network = Model(model, max_internal_size=max_internal_size, target=target, backend=backend)
        network.run()  # the first run also loads pages and tables: its times would mislead
        modules = network.get_module_info()
    if json:
        print_json(
            {
                "model": str(model),
                "target": network.chip.name,
                "target_source": network.target_source,
                "memory_bytes": {use: asdict(size) for use, size in network.get_memory_info().items()},
                "latency_is_of": "this PC",
                "backend": network.machine.kernels.name,
                "modules": [{"name": name, "type": entry.type, "latency_us": entry.latency} for name, entry in modules.items()],
            }
        )
        return 0
    print(f"{model.name} on {network.chip.name} ({network.target_source})")
    network.profile_memory()
    print(f"\nLatency on this PC ({network.machine.kernels.name} kernels), not on the chip:\n")
    network.print_module_info(modules, sort)
    return 0
