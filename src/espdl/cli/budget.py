"""``espdl budget``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import CycloptsError, Parameter
from cyclopts.types import NonNegativeInt, PositiveFloat, PositiveInt

from espdl.cli.options import PER_CHANNEL, SHARE, BoardName, Json, ModelFile, ModelTarget, RunMode, size

Size = Annotated[str | None, Parameter(validator=size)]


def command(
    model: ModelFile,
    /,
    *,
    target: ModelTarget = None,
    module: BoardName = None,
    max_latency_ms: Annotated[PositiveFloat | None, Parameter(help="Longest time of a run, in milliseconds.")] = None,
    max_internal: Annotated[Size, Parameter(help="Most internal RAM: bytes, or 512K, 4M.")] = None,
    max_psram: Annotated[Size, Parameter(help="Most PSRAM, likewise.")] = None,
    max_flash: Annotated[Size, Parameter(help="Most flash, likewise.")] = None,
    min_top1: Annotated[
        float | None, Parameter(validator=SHARE, help="Smallest share of right answers, 0 to 1; needs --data.")
    ] = None,
    data: Annotated[
        str | None, Parameter(help="Labelled: .npz with x and y, or a directory with one folder of pictures per class.")
    ] = None,
    samples: Annotated[PositiveInt | None, Parameter(help="Samples to use at most; all by default.")] = None,
    mean: Annotated[str, PER_CHANNEL, Parameter(help="Of pixels in 0..1, as for espdl quantize.")] = "0",
    std: Annotated[str, PER_CHANNEL, Parameter(help="Likewise.")] = "1",
    bgr: Annotated[bool, Parameter(help="Read picture files in blue, green, red order.", show_default=False)] = False,
    judge: Annotated[
        Literal["estimate", "upper"],
        Parameter(help="Hold the estimated latency against the limit, or the upper end of its 90 % interval."),
    ] = "estimate",
    max_internal_size: Annotated[
        NonNegativeInt, Parameter(help="Bytes of internal RAM to fill first; the rest goes to PSRAM.")
    ] = 0,
    param_copy: Annotated[
        Literal["auto", "yes", "no"], Parameter(help="Copy parameters from flash to RAM; auto: where 3/4 of it suffice.")
    ] = "auto",
    mode: RunMode = "single",
    json: Json = False,
) -> int:
    """Hold an .espdl file against limits on memory, latency and accuracy.

    Memory is exact, as the chip's own runtime plans it; latency is estimated
    (see espdl profile); top-1 is measured by running the file on the data
    with the chip's integers. The model always has to fit the module.

    Exit code 1 when a limit is broken.

    Example: espdl budget digits.espdl --target esp32s3 --max-latency-ms 20
    """
    from espdl.cli.output import print_json, print_table
    from espdl.dtypes import RuntimeMode
    from espdl.progress import stage
    from espdl.quantize.pictures import PictureOptions
    from espdl.report.budget import Conditions, Limits, check_budget
    from espdl.sizes import parse_size

    def bytes_of(text: str | None) -> int | None:
        return None if text is None else parse_size(text, fractions=True)

    if min_top1 is not None and data is None:
        raise CycloptsError(msg="--min-top1 without --data: give labelled data to measure top-1 on.")
    limits = Limits(max_latency_ms, bytes_of(max_internal), bytes_of(max_psram), bytes_of(max_flash), min_top1)
    pictures = PictureOptions(_floats(mean), _floats(std), bgr)
    conditions = Conditions(
        target, module, max_internal_size, param_copy, RuntimeMode.parse(mode), judge, data, pictures, samples
    )
    with stage(f"judging {model.name}"):
        budget = check_budget(model, limits, conditions)
    if json:
        print_json(budget.to_dict())
    else:
        rows = [("kept" if row.kept else "BROKEN", row.name, row.text, row.limit_text, row.note) for row in budget.rows]
        print_table(("", "of", "found", "limit", ""), rows)
    return 0 if budget.kept else 1


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))
