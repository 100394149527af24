"""``espdl explain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from espdl.cli.options import FILE, Arithmetic, Backend, Int16Lut, Json, KeyFile, ModelTarget


def command(
    first: Annotated[Path, Parameter(name="A", help="An .espdl file, an .onnx network, or a dump.", validator=FILE)],
    second: Annotated[Path, Parameter(name="B", help="The same or another one.", validator=FILE)],
    /,
    *,
    data: Annotated[
        Path | None,
        Parameter(help="Inputs: .npy or .npz; else those of a dump, the test inputs, or random integers.", validator=FILE),
    ] = None,
    data_b: Annotated[Path | None, Parameter(help="Inputs of B, where it was fed with something else.", validator=FILE)] = None,
    target: ModelTarget = None,
    target_b: Annotated[ModelTarget, Parameter(name="--target-b", help="Chip of B; that of A by default.")] = None,
    arithmetic_a: Annotated[Arithmetic, Parameter(name="--arithmetic-a")] = "silicon",
    arithmetic_b: Annotated[Arithmetic, Parameter(name="--arithmetic-b")] = "silicon",
    int16_lut_a: Annotated[Int16Lut, Parameter(name="--int16-lut-a")] = "nearest",
    int16_lut_b: Annotated[Int16Lut, Parameter(name="--int16-lut-b")] = "nearest",
    backend: Backend = None,
    setting: Annotated[Path | None, Parameter(help="Recipe that the .espdl file was quantized with.", validator=FILE)] = None,
    most: Annotated[PositiveInt, Parameter(help="Divergences whose cause is looked for.")] = 5,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Say why two runs differ: the first node, the element, the rule.

    A and B are any of: an .espdl file on the arithmetic of a chip, the same or
    another file on another one, a dump that the chip printed (or espdl run
    --dump), the float .onnx network. Both run on the same input. The node
    that diverges first is computed again with one rule changed at a time:
    rounding, lanes, biases, tables, weights, exponents, order of axes ...

    Exit code 1 when they differ; beside a float network, when a node's error
    is more than rounding.

    Example: espdl explain digits.espdl console.log --data image.npz
    """
    from espdl.cli.output import print_json, print_paragraph
    from espdl.deploy import read_key
    from espdl.progress import stage
    from espdl.report.explain.explain import explain
    from espdl.report.explain.files import Rules, kind_of, open_sides, require_used
    from espdl.report.explain.text import explanation_lines

    rules = (
        Rules(target, arithmetic_a, backend, int16_lut_a),
        Rules(target_b or target, arithmetic_b, backend, int16_lut_b),
    )
    key = read_key(key_file)
    kinds = kind_of(first), kind_of(second)
    require_used(kinds, rules, setting)
    if "onnx" in kinds:
        from espdl.report.explain.floats import explain_float, float_lines

        with stage(f"comparing {second.name} with {first.name}"):
            noise = explain_float(first, second, rules, (data, data_b), setting, most, key)
        if json:
            print_json(noise.to_dict())
        else:
            for line in float_lines(noise):
                print_paragraph(line)
        return int(bool(noise.findings))
    with stage(f"comparing {second.name} with {first.name}"):
        one, two, real = open_sides(first, second, rules, (data, data_b), key)
        found = explain(one, two, real, most)
    if json:
        print_json(found.to_dict())
    else:
        for line in explanation_lines(found):
            print_paragraph(line)
    return int(not found.equal)
