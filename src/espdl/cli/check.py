"""``espdl check``."""

from __future__ import annotations

from espdl.cli.options import InputShapes, Json, NetworkFile, Target, parse_shapes


def command(model: NetworkFile, /, *, target: Target, input_shape: InputShapes = None, json: Json = False) -> int:
    """Say node by node whether a network can run on a chip, before any work.

    Nodes are those of the network after fusion and simplification: what the
    chip would run. Each is supported, limited (with the limit it breaks and
    what to do), decomposed into others, or unsupported.

    Exit code 1 when a node cannot run.

    Example: espdl check digits.onnx --target esp32s3
    """
    from espdl.cli.output import print_json, print_table
    from espdl.progress import stage
    from espdl.report.support import check_file

    with stage(f"checking {model.name}"):
        report = check_file(model, target, parse_shapes(input_shape))
    if json:
        print_json(report.to_dict())
        return 0 if report.runs else 1
    rows = [(v.name, v.op_type, v.status, v.detail + (f"\ntry: {v.remedy}" if v.remedy else "")) for v in report.verdicts]
    print_table(("node", "operator", "verdict", "detail"), rows)
    print()
    print(report.summary)
    return 0 if report.runs else 1
