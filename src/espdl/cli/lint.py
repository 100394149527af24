"""``espdl lint``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt

from espdl.cli.options import InputFile, Json, KeyFile, ModelFile, ModelTarget


def command(
    model: ModelFile,
    /,
    *,
    target: ModelTarget = None,
    data: Annotated[
        InputFile | None, Parameter(help="An .npz file with runs for each input; else the file's test inputs.")
    ] = None,
    max_internal_size: Annotated[NonNegativeInt, Parameter(help="Bytes of internal RAM to fill first.")] = 0,
    fail_on: Annotated[Literal["hint", "warning", "error"], Parameter(help="Exit code 1 from this severity on.")] = "error",
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Look through an .espdl file for what goes wrong or slow on the chip.

    Sums that may leave the accumulator, with the channel and the proof; left
    shifts; tensors overwritten too early; exponents that waste bits; channels
    that fall to slow kernels; what forces PSRAM. Each with cost and remedy.

    Example: espdl lint digits.espdl --target esp32s3
    """
    from espdl.cli.output import print_json, print_paragraph
    from espdl.deploy import read_key
    from espdl.dl.arrays import load_arrays
    from espdl.progress import stage
    from espdl.report.lint import RULES, Severity, lint_file
    from espdl.wording import counted

    with stage(f"looking through {model.name}"):
        found = lint_file(
            model,
            target,
            inputs=None if data is None else load_arrays(data),
            max_internal_size=max_internal_size,
            key=read_key(key_file),
        )
    failed = any(finding.severity >= Severity[fail_on.upper()] for finding in found)
    if json:
        print_json({"model": str(model), "findings": [finding.to_dict() for finding in found]})
        return int(failed)
    for finding in found:
        print_paragraph(f"{finding.severity.name.lower()}: {finding.rule}" + (f" at {finding.node!r}" if finding.node else ""))
        print_paragraph(f"    {finding.text}")
        print_paragraph(f"    costs: {finding.cost}")
        print_paragraph(f"    try: {finding.remedy}")
    counts = [
        counted(sum(finding.severity is severity for finding in found), severity.name.lower())
        for severity in (Severity.ERROR, Severity.WARNING, Severity.HINT)
    ]
    print(f"{model.name}: " + (", ".join(counts) if found else f"{len(RULES)} rules, nothing found"))
    return int(failed)
