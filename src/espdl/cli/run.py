"""``espdl run``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from espdl.cli.options import (
    Arithmetic,
    Backend,
    InputFile,
    Int16Lut,
    Json,
    KeyFile,
    ModelFile,
    ModelTarget,
    OutputFile,
    PackageModel,
    StrictOnnx,
)


def command(
    model: ModelFile,
    /,
    *,
    inputs: Annotated[InputFile, Parameter(help="An .npz file with one array per input, under the input's name.")],
    outputs: Annotated[OutputFile, Parameter(help="The .npz file to write.")],
    target: ModelTarget = None,
    arithmetic: Arithmetic = "silicon",
    backend: Backend = None,
    int16_lut: Int16Lut = "nearest",
    strict_onnx: StrictOnnx = False,
    all: Annotated[bool, Parameter(help="Write every intermediate tensor too.", show_default=False)] = False,
    dump: Annotated[
        OutputFile | None,
        Parameter(help="Write every tensor, inputs too, as text that espdl explain compares with what a chip prints."),
    ] = None,
    batch: Annotated[
        bool,
        Parameter(help="Run on every entry of the first axis by itself, on all cores; write all results.", show_default=False),
    ] = False,
    package_model: PackageModel = None,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Run an .espdl file on arrays, bit for bit as the chip would.

    An integer array of the input's own type is taken raw; a float array is
    quantized with the input's exponent and the chip's rounding. Shapes are
    those of the file, channels last: see espdl inspect. An array k times as
    long on its first axis is k runs in a row without reset. What is written
    are the last run's raw arrays in the runtime's layout, by name; with
    --batch those of every run, stacked.

    Example: espdl run digits.espdl --inputs in.npz --outputs out.npz
    """
    from espdl.cli.options import package_entry
    from espdl.cli.output import print_json, print_table
    from espdl.deploy import read_key
    from espdl.dl import Model
    from espdl.dl.arrays import load_arrays, save_arrays
    from espdl.dl.series import count_steps, run_series
    from espdl.errors import EspdlError
    from espdl.fbs.files import require_writable
    from espdl.progress import stage
    from espdl.wording import counted

    if (all or dump) and batch:
        given = "--all" if all else "--dump"
        raise EspdlError(f"{given} and --batch do not go together", hint="run one input at a time to see intermediate tensors")
    require_writable(outputs, keep=(model, inputs))
    if dump is not None:
        require_writable(dump, keep=(model, inputs, outputs))
    arrays = load_arrays(inputs)
    with stage(f"running {model.name}"):
        network = Model(
            model,
            package_entry(package_model),
            key=read_key(key_file),
            target=target,
            arithmetic=arithmetic,
            backend=backend,
            int16_lut=int16_lut,
            strict_onnx=strict_onnx,
        )
        if batch:
            results = network.run_many(arrays)
        else:
            results = run_series(network, arrays, network.variable_names if all or dump else None)
        if dump is not None:
            from espdl.report.explain.dump import values_of, write_dump

            exponents_of = {name: int(network.get_intermediate(name).exponent) for name in results}
            write_dump(dump, values_of(results, exponents_of))
            if not all:
                results = {name: results[name] for name in network.get_outputs()}
        save_arrays(outputs, results)
    steps = count_steps(network, arrays)
    exponents = {name: list(network.get_intermediate(name).exponent.data()) for name in results}
    if json:
        print_json(
            {
                "model": str(model),
                "target": network.chip.name,
                "target_source": network.target_source,
                "arithmetic": arithmetic,
                "backend": network.machine.kernels.name,
                "int16_lut": int16_lut,
                "strict_onnx": strict_onnx,
                "quirks": [{"node": found.node, "op_type": found.op_type, "quirk": found.quirk.id} for found in network.quirks()],
                "runs": steps,
                "warnings": network.warnings,
                "outputs": str(outputs),
                "dump": None if dump is None else str(dump),
                "tensors": {
                    name: {"dtype": str(array.dtype), "shape": list(array.shape), "exponent": int(exponents[name][0])}
                    for name, array in results.items()
                },
            }
        )
        return 0
    rules = [f"{arithmetic} arithmetic", f"{network.machine.kernels.name} kernels"]
    rules += ["interpolating tables"] * (int16_lut == "interpolating") + ["operators as in ONNX"] * strict_onnx
    print(f"{model.name} on {network.chip.name} ({network.target_source}), {', '.join(rules)}")
    rows = [
        (name, str(array.dtype), str(list(array.shape)), "" if array.dtype.kind == "f" else str(exponents[name][0]))
        for name, array in results.items()
    ]
    print_table(("tensor", "type", "shape", "exponent"), rows, right=("exponent",))
    for warning in network.warnings:
        print(f"warning: {warning}")
    print(f"{counted(steps, 'run')}, {counted(len(results), 'tensor')} written to {outputs}")
    return 0
