"""``espdl test``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from espdl.cli.options import FILE, Arithmetic, Backend, Int16Lut, Json, KeyFile, ModelTarget, StrictOnnx

if TYPE_CHECKING:
    from espdl.dl.filetest import FileVerdict


def command(
    models: Annotated[
        list[Annotated[Path, Parameter(validator=FILE)]], Parameter(name="MODEL", help="One or more .espdl files.")
    ],
    /,
    *,
    target: ModelTarget = None,
    arithmetic: Arithmetic = "silicon",
    backend: Backend = None,
    int16_lut: Int16Lut = "nearest",
    strict_onnx: StrictOnnx = False,
    key_file: KeyFile = None,
    json: Json = False,
) -> int:
    """Run the test values embedded in .espdl files; print one line a file.

    Integers must be equal, int16 values within 1, floats within 2e-5, as on
    the chip. A file that does not tell its chip is run on every kind of chip
    it may be for, and passes if it passes on one; its line names all on which
    it does. Test values are made in reference arithmetic: a run that fails in
    silicon arithmetic and passes in reference arithmetic is a failure, and
    its line says so.

    Exit code 1 if any file fails or cannot be read. Files without test values
    are named and do not count, but when no file holds any, that is 1 too:
    nothing was tested.

    Example: espdl test models/*.espdl
    """
    from espdl.cli.output import print_json
    from espdl.deploy import read_key
    from espdl.dl.filetest import Outcome, judge_file
    from espdl.progress import stage

    verdicts: list[FileVerdict] = []
    key = read_key(key_file)
    for model in models:
        with stage(f"testing {model.name}"):
            found = judge_file(model, target, arithmetic, backend, key, int16_lut=int16_lut, strict_onnx=strict_onnx)
        verdicts += found
        if not json:
            print("\n".join(map(line, found)), flush=True)
    counts = Counter(verdict.outcome for verdict in verdicts)
    passed, missing = counts[Outcome.PASS], counts[Outcome.NO_TEST_VALUES]
    failed = len(verdicts) - passed - missing
    if json:
        files = [verdict.to_dict() for verdict in verdicts]
        print_json({"files": files, "passed": passed, "failed": failed, "without_test_values": missing})
    elif len(verdicts) > 1:
        print(f"{passed} pass, {failed} fail, {missing} hold no test values")
    return 1 if failed or not passed else 0


def line(verdict: FileVerdict) -> str:
    """One line of text: outcome, file, where it ran, what was compared."""
    ran = f"{verdict.ran_on} ({verdict.target_source}), {verdict.arithmetic}: " if verdict.targets else ""
    return f"{verdict.outcome.value.upper():<4}  {verdict.file}  {ran}" + " ".join(verdict.detail.split())
