"""The embedded test values of a file, run for a verdict: on which chip, in which arithmetic, with what outcome."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from espdl.chips import Chip
from espdl.dl.model import Model
from espdl.dl.target import candidate_chips, read_evidence
from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, FbsModel
from espdl.fbs.loader import Key


class Outcome(enum.Enum):
    """What came of testing a file."""

    PASS = "pass"
    FAIL = "fail"
    NO_TEST_VALUES = "skip"
    ERROR = "error"


_ORDER = (Outcome.PASS, Outcome.FAIL, Outcome.NO_TEST_VALUES, Outcome.ERROR)


@dataclass(frozen=True)
class FileVerdict:
    """Outcome for one file.

    Attributes:
        file: its path.
        outcome: see :class:`Outcome`; ``ERROR`` when the file cannot be read or run at all.
        detail: what was compared, or what differs first, in words.
        targets: the chips that this is the outcome on; none when it did not run. Several where the file does not tell its chip and
            the outcome is the same on them.
        target_source: how the chip was found, or which were tried.
        arithmetic: in which it ran.
        backend: kernels that ran.
        outputs: one entry per test output, the fields of :class:`espdl.dl.selftest.OutputCheck`.
    """

    file: str
    outcome: Outcome
    detail: str
    targets: tuple[str, ...] = ()
    target_source: str = ""
    arithmetic: str = ""
    backend: str = ""
    outputs: tuple[dict[str, Any], ...] = ()

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS

    @property
    def wrong(self) -> int:
        """Elements outside the tolerance, over all outputs."""
        return sum(output["wrong"] for output in self.outputs)

    @property
    def ran_on(self) -> str:
        """The chips in words; empty when it did not run."""
        return " and ".join(self.targets) + (" alike" if len(self.targets) > 1 else "")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"outcome": self.outcome.value, "passed": self.passed}


def judge_file(
    path: str | os.PathLike[str],
    target: str | Chip | None = None,
    arithmetic: str | Arithmetic = Arithmetic.SILICON,
    backend: str | None = None,
    key: Key | None = None,
    **rules: Any,
) -> list[FileVerdict]:
    """Runs the embedded test values of a file: one verdict, or one for each model of a package.

    Never raises EspdlError: what goes wrong is in the verdict. A file that does not tell its chip is run on one chip of every arithmetic
    it may be for, and passes if it passes on one; the verdict names all on which it does, and says where it does not. Test values are
    made in reference arithmetic: where a run in silicon arithmetic fails and one in reference arithmetic passes, the verdict says so.

    Args:
        path: the file.
        target: chip; None takes it from the file.
        arithmetic: ``silicon`` or ``reference``.
        backend: kernels; None takes the default.
        key: of encrypted models.
        **rules: ``int16_lut`` and ``strict_onnx`` of :class:`espdl.dl.Model`.
    """
    try:
        loader = FbsLoader(Path(path))
    except EspdlError as error:
        return [FileVerdict(str(path), Outcome.ERROR, str(error))]
    verdicts = []
    for index, name in enumerate(loader.model_names):
        file = f"{path}[{name}]" if name else str(path)
        try:
            fbs_model = loader.load(index, key)
        except EspdlError as error:
            verdicts.append(FileVerdict(file, Outcome.ERROR, str(error)))
        else:
            verdicts.append(judge_model(fbs_model, file, target, arithmetic, backend, **rules))
    return verdicts


def judge_model(
    fbs_model: FbsModel,
    file: str,
    target: str | Chip | None = None,
    arithmetic: str | Arithmetic = Arithmetic.SILICON,
    backend: str | None = None,
    **rules: Any,
) -> FileVerdict:
    """The verdict of :func:`judge_file` on a model that is loaded already; ``file`` is its name there."""
    arithmetic = Arithmetic(arithmetic)
    try:
        if not fbs_model.get_test_outputs_name():
            return FileVerdict(file, Outcome.NO_TEST_VALUES, "the file holds no test values")
        chips = candidate_chips(read_evidence(fbs_model))
        if target is not None or len(chips) < 2:
            return _test_on(file, fbs_model, target, arithmetic, backend, rules)
        return _merged([(chip.name, _test_on(file, fbs_model, chip, arithmetic, backend, rules)) for chip in chips])
    except EspdlError as error:
        return FileVerdict(file, Outcome.ERROR, str(error))


def _merged(tried: Sequence[tuple[str, FileVerdict]]) -> FileVerdict:
    """One verdict for a file that was run on several chips, by name: the best outcome, with all the chips that share it."""
    best = min((verdict for _, verdict in tried), key=lambda verdict: (_ORDER.index(verdict.outcome), verdict.wrong))
    if best.outcome is Outcome.ERROR:
        return best
    alike = tuple(name for name, verdict in tried if verdict.outcome is best.outcome)
    source = "the file does not tell its chip"
    if len(alike) < len(tried):
        only = "the only one" if len(alike) == 1 else "the only ones"
        source += f"; {only} it {'passes' if best.passed else 'runs'} on of " + ", ".join(name for name, _ in tried)
    return replace(best, targets=alike, target_source=source)


def _test_on(
    file: str,
    fbs_model: FbsModel,
    target: str | Chip | None,
    arithmetic: Arithmetic,
    backend: str | None,
    rules: Mapping[str, Any],
) -> FileVerdict:
    """In ``arithmetic``, and when that fails in silicon arithmetic, in reference arithmetic too."""

    def loaded(kind: Arithmetic) -> Model:
        return Model(fbs_model, target=target, arithmetic=kind, backend=backend, **rules)

    try:
        model = loaded(arithmetic)
        result = model.test()
        detail = str(result)
        if not result and arithmetic is Arithmetic.SILICON and loaded(Arithmetic.REFERENCE).test():
            detail += "; passes in reference arithmetic"
    except EspdlError as error:
        return FileVerdict(file, Outcome.ERROR, str(error))
    return FileVerdict(
        file,
        Outcome.PASS if result else Outcome.FAIL,
        detail,
        (model.chip.name,),
        model.target_source,
        arithmetic.value,
        model.machine.kernels.name,
        tuple(check.to_dict() for check in result.outputs),
    )
