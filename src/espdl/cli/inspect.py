"""``espdl inspect``."""

from __future__ import annotations

import textwrap

from espdl.cli.options import Json, KeyFile, ModelFile, ModelTarget, PackageModel


def command(
    model: ModelFile,
    /,
    *,
    target: ModelTarget = None,
    package_model: PackageModel = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Show what is in an .espdl file, and how to feed it.

    Header, chip, inputs and outputs with exponent and real range, operators
    and sizes. The file is read, not run. One that does not tell its chip is
    shown all the same.

    Example: espdl inspect digits.espdl
    """
    from espdl.cli.options import package_entry
    from espdl.cli.output import COLUMNS, print_facts, print_json, print_table
    from espdl.deploy import read_key
    from espdl.report.inspection import feeding_text, inspect_file, python_example
    from espdl.wording import counted, kilobytes

    found = inspect_file(model, target, read_key(key_file), package_entry(package_model))
    if json:
        print_json(found.to_dict())
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
    return 0


def _numbers(exponent: int | None, real_range: tuple[float, float] | None) -> tuple[str, str]:
    if exponent is None or real_range is None:
        return "", ""
    return str(exponent), f"{real_range[0]:g} .. {real_range[1]:g}"
