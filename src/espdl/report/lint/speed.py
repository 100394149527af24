"""Rules about time and memory: channels that do not fill the vector unit, tensors that force PSRAM."""

from __future__ import annotations

from collections.abc import Iterator

from espdl.dl.module.mac import vector_lanes
from espdl.dtypes import QuantType
from espdl.report.interop.subject import attribute
from espdl.report.lint.finding import Finding, Severity
from espdl.report.lint.subject import Subject
from espdl.wording import kilobytes

_WORTH_TELLING = 0.005
"""Share of the estimated latency below which a slow kernel does not matter."""


def unaligned_channels(subject: Subject) -> Iterator[Finding]:
    """Convolutions whose channels do not fill whole vectors."""
    if not subject.chip.vector_bytes:
        return
    for entry in subject.filters:
        width = QuantType.SYMM_8BIT if attribute(entry.node, "quant_type") == "S8" else QuantType.SYMM_16BIT
        lanes = vector_lanes(subject.chip, width)
        if subject.shares.get(entry.node.name, 1.0) < _WORTH_TELLING:
            continue
        rest_out = entry.output_channels % lanes
        rest_in = 0 if entry.depthwise else entry.input_channels % lanes
        if not rest_out and not rest_in:
            continue
        words = []
        if rest_out:
            words.append(f"{rest_out} of {entry.output_channels} output channels are computed one at a time")
        if rest_in:
            words.append(f"{entry.input_channels} input channels are read unaligned")
        yield Finding(
            "unaligned-channels",
            Severity.HINT,
            entry.node.name,
            "; ".join(words),
            f"a slower kernel{subject.share_text(entry.node)}",
            f"make channels multiples of {lanes}: {_up(entry.output_channels, lanes)} outputs"
            + (f", {_up(entry.input_channels, lanes)} inputs" if rest_in else ""),
        )


def large_tensors(subject: Subject) -> Iterator[Finding]:
    """The moment when most memory is alive, which decides what does not fit into internal RAM."""
    plan = subject.model.memory.plan
    tensors = [tensor for tensor in plan.tensors.values() if tensor.leader is None]
    if not tensors or not plan.psram_size:
        return
    nodes = subject.graph.node

    def alive(step: int) -> list[str]:
        return [t.name for t in tensors if t.begin <= step and (t.end == -1 or t.end > step)]

    sizes = {tensor.name: tensor.size for tensor in tensors}
    step = max(range(len(nodes)), key=lambda index: sum(sizes[name] for name in alive(index)))
    names = sorted(alive(step), key=lambda name: -sizes[name])
    shown = ", ".join(f"{name!r} {kilobytes(sizes[name])}" for name in names[:3])
    yield Finding(
        "psram",
        Severity.HINT,
        nodes[step].name,
        f"{kilobytes(plan.psram_size)} of activations lie in PSRAM; most is alive here: {shown}",
        "PSRAM is several times slower than internal RAM",
        f"--max-internal-size keeps what fits; all of it would take {kilobytes(plan.psram_size + plan.internal_size)}",
    )


def _up(channels: int, lanes: int) -> int:
    return -(-channels // lanes) * lanes
