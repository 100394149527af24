"""``espdl profile``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt

from espdl.cli.options import Backend, BoardName, Json, ModelFile, ModelTarget, RunMode, board, known_chip

if TYPE_CHECKING:
    from espdl.dl import Model
    from espdl.estimate.latency import Latency
    from espdl.estimate.memory import MemoryEstimate


def _compared(_: object, names: list[str] | None) -> None:
    for name in names or []:
        target, _colon, module = name.partition(":")
        known_chip(None, target)
        board(None, module or None)


def command(
    model: ModelFile,
    /,
    *,
    target: ModelTarget = None,
    module: BoardName = None,
    max_internal_size: Annotated[
        NonNegativeInt, Parameter(help="Bytes of internal RAM to fill first; the rest goes to PSRAM.")
    ] = 0,
    param_copy: Annotated[
        Literal["auto", "yes", "no"], Parameter(help="Copy parameters from flash to RAM; auto: where 3/4 of it suffice.")
    ] = "auto",
    mode: RunMode = "single",
    sort: Annotated[bool, Parameter(help="Order layers by latency.", show_default=False)] = False,
    compare: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, validator=_compared, help="Targets to set side by side, each TARGET or TARGET:MODULE."),
    ] = None,
    here: Annotated[
        bool, Parameter(help="Run it here, too, and print ESP-DL's module table of this PC.", show_default=False)
    ] = False,
    backend: Backend = None,
    json: Json = False,
) -> int:
    """Show what an .espdl file takes on the chip: memory, and latency by layer.

    Memory is the plan that the chip's own runtime makes; what its objects
    take beside it ("others") is not known here. Latencies are estimates,
    fitted to what Espressif has published, with the interval that holds 90 %.

    Example: espdl profile digits.espdl --target esp32s3 --module N16R8 --sort
    """
    from espdl.cli.output import print_json
    from espdl.dtypes import RuntimeMode
    from espdl.errors import EspdlError
    from espdl.estimate.latency import estimate_latency
    from espdl.estimate.memory import estimate_memory, load_for_module

    network, board = load_for_module(model, module, target, max_internal_size=max_internal_size, backend=backend)
    if compare:
        return _compare(network, model, compare, param_copy, mode, sort=sort, json=json)
    memory = estimate_memory(network, board, param_copy)
    latency, otherwise, refusal = None, None, ""
    try:
        latency = estimate_latency(network, memory, RuntimeMode.parse(mode))
        other = estimate_memory(network, memory.module, "no" if memory.param_copy else "yes", search_internal=False)
        if param_copy == "auto" and other.fits and not other.file_in_ram:
            otherwise = estimate_latency(network, other, RuntimeMode.parse(mode))
    except EspdlError as error:
        refusal = str(error)
    if json:
        found = {
            "model": str(model),
            "target": network.chip.name,
            "target_source": network.target_source,
            "memory_bytes": {use: asdict(size) for use, size in memory.usage.items()},
            "memory": memory.to_dict(),
            "latency": None if latency is None else latency.summary(),
            "latency_otherwise": None if otherwise is None else otherwise.summary(),
            "latency_refusal": refusal or None,
            "latency_is_of": f"{network.chip.name}, estimated",
            "modules": [] if latency is None else [layer.to_dict() for layer in latency.layers],
        }
        print_json(found | (_here(network) if here else {}))
        return 0
    print(f"{model.name} on {network.chip.name} ({network.target_source})")
    _print_memory(network, memory)
    print()
    if latency is None:
        print(refusal)
    else:
        _print_latency(latency, otherwise, sort=sort)
    if here:
        network.run()  # the first run also loads pages and tables: its times would mislead
        print(f"\nLatency on this PC ({network.machine.kernels.name} kernels), not on the chip:\n")
        network.print_module_info(network.get_module_info(), sort)
    return 0


def _here(network: Model) -> dict[str, Any]:
    network.run()
    rows = network.get_module_info()
    return {
        "here": {
            "backend": network.machine.kernels.name,
            "modules": [{"name": name, "type": entry.type, "latency_us": entry.latency} for name, entry in rows.items()],
        }
    }


def _print_memory(network: Model, memory: MemoryEstimate) -> None:
    from espdl.cli.output import print_facts
    from espdl.dl.profile import memory_table
    from espdl.estimate.text import memory_facts

    file = network.fbs_model
    print(
        memory_table(
            memory.usage,
            name=file.get_model_name(),
            version=file.get_model_version(),
            doc_string=file.get_model_doc_string(),
            location=network.model_location,
        )
    )
    print()
    print_facts(memory_facts(memory))


def _print_latency(latency: Latency, otherwise: Latency | None, *, sort: bool) -> None:
    from espdl.cli.output import print_facts, print_table
    from espdl.estimate.text import LAYER_COLUMNS, latency_facts, layer_rows

    print_facts(latency_facts(latency, otherwise))
    print()
    print_table(LAYER_COLUMNS, layer_rows(latency, sort), right=("latency", "share"), dense=True)


def _compare(network: Model, model: Path, names: list[str], param_copy: str, mode: str, *, sort: bool, json: bool) -> int:
    from espdl.chips import get_chip
    from espdl.cli.output import print_json, print_table
    from espdl.dtypes import RuntimeMode
    from espdl.estimate.latency import estimate_latency
    from espdl.estimate.memory import estimate_memory, load_for_module
    from espdl.estimate.modules import get_module
    from espdl.estimate.text import compared_layers, compared_rows

    options: dict[str, Any] = {"max_internal_size": network.memory.max_internal_size, "backend": network.machine.kernels.name}
    found = []
    for name in names:
        target, _, module = name.partition(":")
        chip = get_chip(target)
        board = get_module(chip, module or None)
        fitted, _ = load_for_module(model, board, network.chip, **options)
        memory = estimate_memory(fitted, board, param_copy, search_internal=False, chip=chip)
        found.append((memory, estimate_latency(fitted, memory, RuntimeMode.parse(mode), chip)))
    if json:
        print_json({"model": str(model), "compared": [{"memory": m.to_dict(), "latency": t.to_dict()} for m, t in found]})
        return 0
    print(f"{model.name} on " + " and ".join(f"{t.chip.name} {m.module.name}" for m, t in found))
    print()
    columns = ["", *(f"{t.chip.name} {m.module.name}" for m, t in found)]
    print_table(columns, compared_rows(found), dense=True)
    print()
    print_table(["name", "type", *columns[1:]], compared_layers([t for _, t in found], sort), right=columns[1:], dense=True)
    return 0
