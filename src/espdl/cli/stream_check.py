"""``espdl stream-check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from espdl.cli.options import FILE, Arithmetic, Backend, Json, ModelTarget


def _state(_: object, text: str) -> None:
    if not all(text.rpartition("=")):
        raise ValueError("write it as OUTPUT=INPUT")


def command(
    offline: Annotated[Path, Parameter(name="OFFLINE", help="The .espdl file of the whole network.", validator=FILE)],
    stream: Annotated[Path, Parameter(name="STREAM", help="The .espdl file of the same network for chunks.", validator=FILE)],
    /,
    *,
    data: Annotated[
        Path | None,
        Parameter(help="Recordings: .npy for one input, or .npz by input name; random integers without it.", validator=FILE),
    ] = None,
    state: Annotated[
        list[Annotated[str, Parameter(validator=_state)]] | None,
        Parameter(help="Output that is an input of the next run, of recurrent networks: OUTPUT=INPUT, once for each."),
    ] = None,
    target: ModelTarget = None,
    arithmetic: Arithmetic = "silicon",
    backend: Backend = None,
    json: Json = False,
) -> int:
    """Prove that a stream gives the frames of the whole run, bit for bit.

    Runs each recording whole through OFFLINE, and in pieces through STREAM:
    chunk by chunk, frame by frame, all at once, in uneven pieces. Every frame
    that a stream can give must be equal. If one is not, names the first one,
    and what differs between the files or the first tensor that departs.

    A recording is as long as the input of OFFLINE; several are stacked on the
    first axis. Axes are in the order of the file, see espdl inspect, or in
    that of the ONNX network where only that one fits. Integers of the input's
    type are taken raw, floats are quantized.

    Exit code 1 when a frame differs.

    Example: espdl stream-check tcn.espdl tcn_streaming.espdl --data x.npy
    """
    from espdl.cli.output import print_facts, print_json, print_paragraph
    from espdl.dl import Model
    from espdl.dtypes import DType
    from espdl.progress import stage
    from espdl.report.recordings import load_recordings
    from espdl.report.stream_check import check_streaming
    from espdl.wording import counted

    with stage(f"comparing {stream.name} with {offline.name}"):
        whole = Model(offline, target=target, arithmetic=arithmetic, backend=backend)
        chunks = Model(stream, target=target or whole.chip.name, arithmetic=arithmetic, backend=backend)
        recordings = None if data is None else load_recordings(data, whole)
        states = dict(text.rsplit("=", 1) for text in state or ())
        result = check_streaming(whole, chunks, recordings, states)
    if json:
        print_json(
            {"offline": str(offline), "stream": str(stream), "data": None if data is None else str(data), **result.to_dict()}
        )
        return 0 if result.passed else 1
    frames = ", ".join(f"{count} of {name}" for name, count in result.chunk.items())
    facts = [
        ("recordings", f"{result.recordings}, " + ("random integers" if data is None else str(data))),
        ("chunk", f"{frames}; latency {counted(result.latency, 'frame')}"),
        ("fed", ", ".join(result.chunkings)),
    ]
    for name, output in result.outputs.items():
        text = (
            f"{output.compared} of {counted(output.frames, 'frame')}, delay {output.delay}"
            if output.frames
            else "of the last run"
        )
        if output.why_not:
            text = f"nothing: {output.why_not}"
        elif output.warm_up or output.ahead:
            text += f"; not in the stream: the first {output.warm_up}, the last {output.ahead}"
        facts.append((f"compared {name}", text))
    print_facts(facts)
    number = "number" if any(tensor.dtype is DType.FLOAT for tensor in whole.get_outputs().values()) else "integer"
    if result.difference is None:
        print(f"equal: all {counted(result.compared, number)}")
        return 0
    found = result.difference
    place = "" if found.frame is None else f"frame {found.frame} of "
    print_paragraph(
        f"DIFFERENT: {place}{found.output!r}, recording {found.recording}, {found.chunking}: {found.expected} in the whole run, "
        f"{found.got} in the stream; {counted(found.count, number)} of this output differ"
    )
    print_paragraph(f"because {result.cause}")
    return 1
