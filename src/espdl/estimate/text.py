"""Estimates in words and rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from espdl.estimate.latency import Latency, Layer
from espdl.estimate.memory import MemoryEstimate, size_text
from espdl.estimate.packing import Split

LAYER_COLUMNS = ("name", "type", "latency", "90 % interval", "share", "bound by")
WORTH_TELLING = 1024
"""Bytes of repacked biases below which nobody asks."""

BOUND_SHARE = 0.05
"""Causes that take less of a model are not named in its summary."""


def memory_facts(memory: MemoryEstimate) -> list[tuple[str, str]]:
    """Name and value pairs about the fit into the module."""
    rows = [
        ("verdict", memory.verdict()),
        ("arena", f"{size_text(memory.arena)}, of which {size_text(memory.least_arena)} live at once: {_above(memory)}"),
        ("parameters", _parameters(memory)),
    ]
    if memory.repacked >= WORTH_TELLING:
        rows.append(("biases", f"{size_text(memory.repacked)} of RAM more from the first run on: repacked for the vector unit"))
    found = memory.internal_ram
    if found is not None and not memory.max_internal_size:
        rows.append(("internal RAM", _internal(memory, found.least, found.whole, found.best)))
    return rows


def _parameters(memory: MemoryEstimate) -> str:
    if memory.file_in_ram:
        return "in RAM with the whole file"
    if memory.param_copy:
        return "copied to RAM at start"
    if memory.by_component:
        return "read from flash at every use, as ESP-DL's own component for this file does with so little PSRAM"
    return "read from flash at every use"


def _above(memory: MemoryEstimate) -> str:
    share = memory.above_optimum
    return f"{share:.1%} above the least possible" if share >= 0.0005 else "no plan needs less"


def _internal(memory: MemoryEstimate, least: Split | None, whole: Split | None, best: Split) -> str:
    if whole is not None:
        return f"max_internal_size {whole.max_internal_size} holds all variables; {_least(least)}"
    if least is None:
        return f"up to {size_text(memory.module.free_internal)} of it make no smaller arena in PSRAM"
    return (
        f"{_least(least)}; max_internal_size {best.max_internal_size} leaves {size_text(best.psram)} in PSRAM, "
        f"the least within {size_text(memory.module.free_internal)}"
    )


def _least(least: Split | None) -> str:
    return f"less than {least.max_internal_size} bytes do not help" if least else "less does not help"


def latency_facts(latency: Latency, otherwise: Latency | None = None) -> list[tuple[str, str]]:
    """Name and value pairs about the time of a model, and what it would be with the parameters ``otherwise``."""
    causes = [
        f"{us / max(latency.model.us, 1e-12):.0%} {cause}"
        for cause, us in latency.by_cause().items()
        if us >= BOUND_SHARE * latency.model.us
    ]
    rows = [
        ("latency", f"{latency.model.text()}, 90 % interval, {_mode(latency)}"),
        ("bound by", ", ".join(causes)),
    ]
    if otherwise is not None:
        option = "no" if otherwise.filters_in == "flash" else "yes"
        rows.append(("otherwise", f"{otherwise.model.text()} with --param-copy {option}"))
    around = [
        f"{name} {time.text()}"
        for name, time in (("preprocess", latency.preprocess), ("postprocess", latency.postprocess))
        if time is not None
    ]
    if around:
        rows.append(("around it", f"{', '.join(around)}; in sum {latency.total.text()}"))
    rows += [("products", f"{latency.macs / 1e6:.2f} M multiply-accumulates"), ("basis", latency.basis)]
    return rows


def _mode(latency: Latency) -> str:
    split = sum(layer.two_cores for layer in latency.layers)
    where = {"psram": "parameters in PSRAM", "flash": "parameters in flash", "internal": "parameters in internal RAM"}
    cores = f"{split} of {len(latency.layers)} nodes on two cores" if split else "one core"
    return f"{cores}, {where[latency.filters_in]}"


def layer_rows(latency: Latency, sort: bool = False) -> Iterator[tuple[str, ...]]:
    """One row a layer for :data:`LAYER_COLUMNS`, in running order or the slowest first; the sum at the end."""
    for layer in sorted(latency.layers, key=lambda layer: -layer.time.us) if sort else latency.layers:
        yield (layer.name, layer.op_type, *_times(layer), f"{layer.share:.1%}", layer.bound)
    yield ("total", "", f"{latency.model.us:.0f}us", f"{latency.model.low:.0f} .. {latency.model.high:.0f}", "100.0%", "")


def _times(layer: Layer) -> tuple[str, str]:
    if not layer.time.us:
        return "0us", ""
    digits = 0 if layer.time.us >= 100 else 1
    return f"{layer.time.us:.{digits}f}us", f"{layer.time.low:.{digits}f} .. {layer.time.high:.{digits}f}"


def compared_rows(found: Sequence[tuple[MemoryEstimate, Latency]]) -> list[tuple[str, ...]]:
    """Rows that set whole models side by side, one column each behind the name of the fact."""
    first = found[0][1].model.us or 1e-12
    return [
        ("latency", *(latency.model.text() for _, latency in found)),
        ("relative", *(f"{latency.model.us / first:.2f}" for _, latency in found)),
        ("bound by", *(", ".join(list(latency.by_cause())[:2]) for _, latency in found)),
        ("memory", *(memory.verdict() for memory, _ in found)),
        ("parameters", *("copied to RAM" if memory.param_copy else "read from flash" for memory, _ in found)),
        ("basis", *(latency.basis for _, latency in found)),
    ]


def compared_layers(latencies: Sequence[Latency], sort: bool = False) -> Iterator[tuple[str, ...]]:
    """One row a layer: name, type, and in each of ``latencies`` its time with the factor to both ends of the 90 % interval.

    ``sort`` puts the slowest of the first one first.
    """
    rows = list(zip(*(latency.layers for latency in latencies), strict=True))
    for layers in sorted(rows, key=lambda layers: -layers[0].time.us) if sort else rows:
        yield (layers[0].name, layers[0].op_type, *(_with_factor(layer) for layer in layers))


def _with_factor(layer: Layer) -> str:
    text = _times(layer)[0]
    return f"{text} ×/÷ {layer.time.high / layer.time.us:.1f}" if layer.time.us else text
