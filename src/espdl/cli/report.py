"""``espdl report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt, PositiveInt

from espdl.cli.options import FILE, BoardName, InputFile, Json, KeyFile, ModelFile, ModelTarget, OutputFile, RunMode, numbers

PER_CHANNEL = Parameter(validator=numbers)


def command(
    model: ModelFile,
    /,
    *,
    output: Annotated[
        OutputFile | None, Parameter(name=["--output", "-o"], help="The page to write; the model's name with .html by default.")
    ] = None,
    target: ModelTarget = None,
    module: BoardName = None,
    mode: RunMode = "single",
    max_internal_size: Annotated[NonNegativeInt, Parameter(help="Bytes of internal RAM to fill first.")] = 0,
    network: Annotated[
        InputFile | None, Parameter(name="--float", help="The .onnx file it was made from: shows the error of layers.")
    ] = None,
    data: Annotated[
        str | None,
        Parameter(help="Inputs: directory of pictures, .npy or .npz file, module:callable; else the file's test inputs."),
    ] = None,
    steps: Annotated[PositiveInt, Parameter(help="Samples to use at most.")] = 8,
    setting: Annotated[Path | None, Parameter(help="The recipe that the file was made with.", validator=FILE)] = None,
    mean: Annotated[str, PER_CHANNEL, Parameter(help="Of pixels in 0..1, as for espdl quantize.")] = "0",
    std: Annotated[str, PER_CHANNEL, Parameter(help="Likewise.")] = "1",
    bgr: Annotated[bool, Parameter(help="Read picture files in blue, green, red order.", show_default=False)] = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Write one HTML page with everything about an .espdl file.

    Summary, modules that it fits, memory over time, latency by layer, error
    by layer, weights and activations on their grid, findings, and the graph
    to click. The page needs no network and no other file.

    Example: espdl report digits.espdl --float digits.onnx --data images.npy
    """
    from espdl.cli.output import print_facts, print_json
    from espdl.deploy import read_key
    from espdl.dtypes import RuntimeMode
    from espdl.fbs import write_atomically
    from espdl.progress import stage
    from espdl.quantize.pictures import PictureOptions
    from espdl.report.page import ReportJob, collect, page
    from espdl.wording import counted, kilobytes

    path = output or Path(model.with_suffix(".html").name)
    pictures = PictureOptions(_floats(mean), _floats(std), bgr)
    run_mode, key = RuntimeMode.parse(mode), read_key(key_file)
    job = ReportJob(model, target, module, run_mode, max_internal_size, network, data, steps, setting, pictures, key)
    with stage(f"reporting on {model.name}"):
        found = collect(job)
        text = page(found)
        write_atomically(path, text)
    size = len(text.encode())
    if json:
        latency = None if found.latency is None else found.latency.summary()
        facts = {"model": str(model), "report": str(path), "report_bytes": size, "target": found.model.chip.name}
        shown = {"findings": len(found.findings), "samples": found.samples or None, "errors_measured": found.errors is not None}
        print_json(facts | {"memory": found.memory.to_dict(), "latency": latency} | shown)
        return 0
    print_facts(
        [
            ("report", f"{path}, {kilobytes(size)}"),
            ("memory", found.memory.verdict()),
            ("latency", found.refusal or (f"{found.latency.model.text()}, estimated" if found.latency else "")),
            ("findings", counted(len(found.findings), "finding")),
            ("activations", found.samples or "not shown: give --data"),
            ("errors", "against the float network" if found.errors is not None else "not measured: give --float and --data"),
        ]
    )
    return 0


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))
