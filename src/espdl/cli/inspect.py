"""``espdl inspect``."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from espdl.cli.options import Json, KeyFile, ModelFile, ModelTarget, OutputFile, PackageModel

if TYPE_CHECKING:
    from espdl.report.tensors import TensorRow


def command(
    model: ModelFile,
    /,
    *,
    target: ModelTarget = None,
    package_model: PackageModel = None,
    key_file: KeyFile = None,
    tensors: Annotated[bool, Parameter(help="List every tensor, too.", show_default=False)] = False,
    graph: Annotated[OutputFile | None, Parameter(help="Draw the graph into this SVG file.")] = None,
    json: Json = False,
) -> int:
    """Show what is in an .espdl file, and how to feed it.

    Header, chip, inputs and outputs with exponent and real range, operators
    and sizes. The file is read, not run. One that does not tell its chip is
    shown all the same.

    Example: espdl inspect digits.espdl --tensors --graph digits.svg
    """
    from espdl.cli.options import package_entry
    from espdl.cli.output import COLUMNS, print_facts, print_json, print_table
    from espdl.deploy import read_key
    from espdl.fbs import write_atomically
    from espdl.report.graph import draw_graph
    from espdl.report.inspection import feeding_text, inspect_file, python_example
    from espdl.wording import counted, kilobytes

    found = inspect_file(model, target, read_key(key_file), package_entry(package_model))
    if graph is not None:
        write_atomically(graph, draw_graph(found.network))
    if json:
        print_json(found.to_dict() | ({"graph": str(graph)} if graph is not None else {}))
        return 0
    metadata = [(f"metadata {key}", value) for key, value in found.metadata.items()]
    print_facts(
        [
            ("file", f"{found.file}, {kilobytes(found.file_bytes)}, {found.format}"),
            *(
                [("package", f"{counted(len(found.package), 'model')}: {', '.join(found.package)}; the first is shown")]
                if found.package
                else []
            ),
            ("model", f"{found.name}, version {found.version}" + (f": {found.doc_string}" if found.doc_string else "")),
            ("made by", found.producer or "the file does not say"),
            *metadata,
            ("chip", f"{found.target} ({found.target_source})" if found.target else found.target_source),
            ("operators", f"{found.nodes}: " + ", ".join(f"{count} {name}" for name, count in found.operators.items())),
            ("arithmetic", ", ".join(f"{count} {name}" for name, count in found.quant_types.items())),
            ("parameters", f"{counted(found.parameters, 'tensor')}, {kilobytes(found.parameter_bytes)}"),
            ("test values", ", ".join(found.test_outputs) or "none"),
        ]
    )
    print()
    rows = [
        (kind, port.name, port.dtype, str(list(port.shape)), port.layout or "as ONNX", *_numbers(port.exponent, port.real_range))
        for kind, ports in (("input", found.inputs), ("output", found.outputs))
        for port in ports
    ]
    print_table(("", "name", "type", "shape", "layout", "exponent", "real range"), rows, right=("exponent",))
    print("\nHow to feed it:")
    for line in feeding_text(found):
        print(textwrap.fill(line, COLUMNS, initial_indent="  ", subsequent_indent="    "))
    print("\nIn Python:")
    for line in python_example(found).splitlines():
        print(f"  {line}".rstrip())
    if tensors:
        _print_tensors(found.tensors)
    if graph is not None:
        print(f"\nThe graph: {graph}")
    return 0


def _print_tensors(rows: tuple[TensorRow, ...]) -> None:
    from espdl.cli.output import print_table
    from espdl.wording import kilobytes

    columns = ("shape", "layout", "type", "exponent", "real range", "size")
    for heading, parameters in (("Variables and what they can hold", False), ("Parameters and what they hold", True)):
        print(f"\n{heading}\n")
        cells = [
            (
                row.name,
                "not told" if row.shape is None else "×".join(map(str, row.shape)) or "scalar",
                row.layout,
                row.dtype,
                row.exponent_text,
                "" if row.real_range is None else f"{row.real_range[0]:.3g} .. {row.real_range[1]:.3g}",
                "" if row.size is None else f"{row.size} B" if row.size < 1024 else kilobytes(row.size),
            )
            for row in rows
            if (row.kind == "parameter") == parameters
        ]
        print_table(("name", *columns), cells, right=("exponent", "size"), dense=True)


def _numbers(exponent: int | None, real_range: tuple[float, float] | None) -> tuple[str, str]:
    if exponent is None or real_range is None:
        return "", ""
    return str(exponent), f"{real_range[0]:g} .. {real_range[1]:g}"
