"""``espdl analyse``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from espdl.cli.options import FILE, PER_CHANNEL, InputShapes, Json, ModelTarget, parse_shapes

if TYPE_CHECKING:
    from espdl.quantize.analysis.advice import Advice
    from espdl.quantize.analysis.analyse import Analysis

ROWS = 20


def command(
    network: Annotated[Path, Parameter(name="NETWORK", help="The .onnx file.", validator=FILE)],
    model: Annotated[Path, Parameter(name="MODEL", help="The .espdl file that was made from it.", validator=FILE)],
    /,
    *,
    data: Annotated[str, Parameter(help="Real inputs: directory of pictures, .npy or .npz file, module:callable.")],
    steps: Annotated[PositiveInt, Parameter(help="Samples to use at most.")] = 32,
    setting: Annotated[Path | None, Parameter(help="The recipe that the file was made with.", validator=FILE)] = None,
    target: ModelTarget = None,
    rows: Annotated[PositiveInt, Parameter(help="Layers and tensors to show, the worst first; --json has all.")] = ROWS,
    mean: Annotated[str, PER_CHANNEL, Parameter(help="Of pixels in 0..1, as for espdl quantize.")] = "0",
    std: Annotated[str, PER_CHANNEL, Parameter(help="Likewise.")] = "1",
    bgr: Annotated[bool, Parameter(help="Read picture files in blue, green, red order.", show_default=False)] = False,
    input_shape: InputShapes = None,
    json: Json = False,
) -> int:
    """Find out where a file loses accuracy, and what to turn.

    Runs the .espdl file and the float network on the same data and compares
    them: layer by layer with all errors before (graphwise), what each layer
    alone does to the outputs (layerwise), and the range and noise of tensors.
    Where more than 1 % of noise reaches the outputs, changes of the recipe are
    tried: each is quantized and measured on the data, and those that help are
    listed with their gain in dB and the lines to put into the recipe.

    Example: espdl analyse net.onnx net.espdl --data photos/
    """
    from espdl.cli.output import print_json
    from espdl.progress import stage
    from espdl.quantize.analysis.analyse import AnalysisJob, analyse
    from espdl.quantize.pictures import PictureOptions

    pictures = PictureOptions(_floats(mean), _floats(std), bgr)
    job = AnalysisJob(network, model, data, steps, setting, target, pictures, parse_shapes(input_shape))
    with stage(f"analysing {model.name}"):
        found = analyse(job)
    if json:
        print_json(found.to_dict())
    else:
        _print(found, model, rows)
    return 0


def _print(found: Analysis, file: Path, rows: int) -> None:
    from espdl.cli.output import print_facts, print_table
    from espdl.quantize.analysis.analyse import decibels
    from espdl.quantize.analysis.bars import bar_table

    print_facts(
        [
            ("file", f"{file} on {found.target}, {found.bits} bits"),
            ("data", found.samples),
            *((f"noise in {name}", f"{ratio:.3%} (SNR {decibels(ratio):.1f} dB)") for name, ratio in found.outputs.items()),
        ]
    )
    print("\nGraphwise: noise in every layer's result, from all layers so far")
    print(bar_table(found.graphwise, limit=rows))
    print("\nLayerwise: noise in the outputs when one layer alone is quantized")
    print(bar_table(found.layerwise, limit=rows))
    print("\nTensors, the noisiest first")
    worst = sorted(found.statistics, key=lambda item: -item.noise_to_signal)[:rows]
    print_table(
        ["tensor", "type", "exponent", "float range", "used", "beyond", "noise"],
        [
            (
                item.name,
                f"int{item.bits}",
                str(item.exponent),
                f"{item.smallest:.3g} .. {item.largest:.3g}",
                f"{item.used:.0%}",
                f"{item.saturated:.2%}",
                f"{item.noise_to_signal:.3%}",
            )
            for item in worst
        ],
        right=["exponent", "used", "beyond", "noise"],
    )
    print()
    _print_advice(found.advice)


def _print_advice(advice: Advice | None) -> None:
    from espdl.cli.output import print_paragraph, print_table
    from espdl.wording import counted

    if advice is None:
        print_paragraph("What to turn: nothing. Less than 1 % of noise reaches the outputs.")
        return
    print_paragraph(
        f"What to turn: {counted(advice.tried, 'change')} of the recipe tried, each quantized and measured on the data. "
        f"Without a change the SNR is {advice.snr_db:.1f} dB."
    )
    for reason in advice.refused:
        print_paragraph(f"- not possible: {reason}")
    listed = [*([advice.together] if advice.together is not None else []), *advice.changes]
    if not listed:
        print_paragraph("None of them helps. More and better calibration data, 16 bits (--bits 16), or training remain.")
        return
    print()
    print_table(
        ["change", "gain", "SNR", "file"],
        [
            (
                f"{number}. {change.what}",
                f"+{change.gain_db:.1f} dB",
                f"{change.snr_db:.1f} dB",
                f"{change.more_bytes / 1024:+.1f} KB",
            )
            for number, change in enumerate(listed, 1)
        ],
        right=["gain", "SNR", "file"],
    )
    print("\nLines for the recipe (espdl quantize --setting recipe.toml):")
    for number, change in enumerate(listed, 1):
        print(f"\n# {number}. {change.what}\n{change.recipe}", end="")


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))
