"""``espdl quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import CycloptsError, Parameter
from cyclopts.types import PositiveInt

from espdl.cli.options import (
    FILE,
    PER_CHANNEL,
    InputShapes,
    Json,
    NetworkFile,
    OutputFile,
    StreamingCaches,
    StreamingShapes,
    Target,
    parse_shapes,
)

if TYPE_CHECKING:
    from espdl.quantize.streaming import StreamingOptions

_KINDS = {"w8a8": "8 bits", "w8a16": "16 bits, weights 8", "w16a16": "16 bits", "none": "float"}


def command(
    model: NetworkFile,
    /,
    *,
    output: Annotated[OutputFile, Parameter(name=["--output", "-o"], help="The .espdl file to write.")],
    target: Target,
    calib: Annotated[
        str | None, Parameter(help="Calibration data: directory of pictures, .npy or .npz file, module:callable.")
    ] = None,
    calib_steps: Annotated[PositiveInt, Parameter(help="Samples to use at most.")] = 32,
    bits: Annotated[Literal[8, 16] | None, Parameter(help="Of weights and activations; 8 unless --quant-type is given.")] = None,
    quant_type: Annotated[
        Literal["w8a8", "w8a16", "w16a16", "none"] | None,
        Parameter(help="Bits of weights and of activations; none: a float file, which needs no --calib."),
    ] = None,
    setting: Annotated[Path | None, Parameter(help="Recipe: a TOML file of quantization settings.", validator=FILE)] = None,
    mixed_precision: Annotated[
        bool, Parameter(help="Put the layers in 16 bits that gain most for their time.", show_default=False)
    ] = False,
    more_latency: Annotated[
        float | None, Parameter(help="With --mixed-precision: share of the estimated latency that may be added; 0.25.")
    ] = None,
    test_values: Annotated[bool, Parameter(help="Embed an input and its outputs for espdl test.", show_default=False)] = False,
    mean: Annotated[str, PER_CHANNEL, Parameter(help="Of pixels in 0..1, for all channels or each: 0.485,0.456,0.406.")] = "0",
    std: Annotated[str, PER_CHANNEL, Parameter(help="Likewise; the network gets (pixel / 255 - mean) / std.")] = "1",
    bgr: Annotated[bool, Parameter(help="Read picture files in blue, green, red order.", show_default=False)] = False,
    resize: Annotated[
        PositiveInt | None,
        Parameter(help="Resize the shorter side of pictures to this and cut the middle out; without it they are resized whole."),
    ] = None,
    input_shape: InputShapes = None,
    streaming_input_shape: StreamingShapes = None,
    streaming_cache: StreamingCaches = None,
    json: Json = False,
) -> int:
    """Quantize an ONNX network to an .espdl file.

    Calibration data are real inputs of the network. Picture files are resized
    to its input; of more than --calib-steps, as many are taken at even
    distances. Arrays hold one sample per entry of the first axis, in the
    network's own order of axes; uint8 arrays for an input that takes pictures
    are pixels, scaled by --mean and --std like picture files. An .npz file
    holds one array per input, under its name. A callable returns an iterable
    of samples or batches.

    Writes OUT.espdl, OUT.info (the graph as text) and OUT.json (exponents),
    each whole or not at all, runs the file on calibration samples, and prints
    how close it comes to the float network.

    With --mixed-precision the network is measured in 8 bits first: where noise
    in its outputs comes from, and what 16 bits would take there. It says what
    went to 16 bits and why; see the page "My accuracy dropped".

    With --streaming-input-shape it writes OUT_streaming.espdl, too: the same
    network with the same exponents for chunks of a stream; see espdl
    stream-check.

    Example: espdl quantize net.onnx -o net.espdl --target esp32s3 --calib photos/
    """
    from espdl.cli.output import print_facts, print_json
    from espdl.progress import stage
    from espdl.quantize.job import Job, run_job
    from espdl.quantize.pictures import PictureOptions
    from espdl.wording import counted, kilobytes

    if bits and quant_type:
        raise CycloptsError(msg="--bits and --quant-type are both given: --quant-type alone says all.")
    kind = quant_type or ("w16a16" if bits == 16 else "w8a8")
    if calib is None and kind != "none":
        raise CycloptsError(msg="--calib is missing: only --quant-type none, a float file, needs no calibration data.")
    if more_latency is not None and not mixed_precision:
        raise CycloptsError(msg="--more-latency without --mixed-precision: what is it for?")
    pictures = PictureOptions(_floats(mean), _floats(std), bgr, resize)
    shapes = parse_shapes(input_shape)
    streaming = _streaming(streaming_input_shape, streaming_cache)
    with stage(f"quantizing {model.name}") as say:
        wider = mixed_precision, more_latency
        job = Job(model, output, target, calib, calib_steps, kind, setting, test_values, pictures, shapes, streaming, *wider)
        result = run_job(job, say)
    if json:
        print_json(result.to_dict())
        return 1 if result.test_passed is False else 0
    facts = [
        ("chip", f"{result.target}, {_KINDS[result.quant_type]}"),
        ("calibration", result.calibration),
        ("file", f"{result.files[0]}, {kilobytes(result.file_bytes)} (ONNX: {kilobytes(result.network_bytes)})"),
        ("beside it", ", ".join(Path(file).name for file in result.files[1:])),
        ("operators", str(result.operators)),
        *(("done to it", measure) for measure in result.measures),
        *(("in 16 bits", line) for line in (result.mixed_precision.lines() if result.mixed_precision is not None else ())),
        *(
            (f"SNR of {name}", f"{decibels:.1f} dB against float, {counted(result.compared, 'sample')}")
            for name, decibels in result.snr_db.items()
        ),
    ]
    if (stream := result.streaming) is not None:
        chunk = ", ".join(f"{count} of {name}" for name, count in stream.chunk.items())
        facts.append(("for chunks", f"{stream.files[0]}, {kilobytes(stream.file_bytes)}"))
        facts.append(("frames", f"{chunk} in a chunk; latency {stream.latency}, {counted(stream.caches, 'cache')}"))
    if result.test_passed is not None:
        facts.append(("embedded test", ("passed: " if result.test_passed else "FAILED: ") + result.test))
    print_facts(facts)
    for warning in result.warnings:
        print(f"warning: {warning}")
    return 1 if result.test_passed is False else 0


def _streaming(shapes: list[str] | None, caches: list[str] | None) -> StreamingOptions | None:
    from espdl.quantize.streaming import StreamingOptions

    if not shapes:
        if caches:
            raise CycloptsError(msg="--streaming-cache without --streaming-input-shape: how long is a chunk?")
        return None
    parsed = parse_shapes(shapes)
    if isinstance(parsed, list) and len(parsed) > 1:
        raise CycloptsError(msg="--streaming-input-shape several times: write NAME=1,16,3.")
    table = []
    for text in caches or []:
        variable, _, rest = text.rpartition("=")
        window, _, operator = rest.partition("@")
        table.append({variable: {"window_size": int(window), "op_name": operator or None}})
    return StreamingOptions(parsed[0] if isinstance(parsed, list) else parsed, table or None)


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))
