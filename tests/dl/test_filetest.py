"""The verdict on a file: on which chips it passes, and what is said of those on which it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl.dl.filetest import FileVerdict, Outcome, judge_file
from espdl.dtypes import DType
from espdl.fbs import records, wrap_model, write_model
from tests.models import small_file

SHAPE = (1, 20)


def requantizing_file(path: Path, raw: list[int], expected: list[int], *, packed: bool = True) -> Path:
    """A file that halves an int8 input, with test values; ``packed`` adds a filter that only chips with a vector unit read."""
    tag = "layout ==> (N/16)HWC16" if packed else "layout ==> NHWC"
    weights = records.Tensor("w", (1, 1, 1, 16), DType.INT8, np.ones((1, 1, 1, 16), np.int8), (-7,), tag)
    x = records.ValueInfo("x", DType.INT8, SHAPE, (-7,))
    y = records.ValueInfo("y", DType.INT8, SHAPE, (-6,))
    node = records.Node("RequantizeLinear", "halve", ["x"], ["y"], [records.Attribute("quant_type", "S8")])

    def tensor(name: str, values: list[int], exponent: int) -> records.Tensor:
        data = np.zeros(SHAPE, np.int8)
        data.flat[: len(values)] = values
        return records.Tensor(name, SHAPE, DType.INT8, data, (exponent,))

    graph = records.Graph("halve", [node], [weights], [x], [y], [x, y], [tensor("x", raw, -7)], [tensor("y", expected, -6)])
    path.write_bytes(wrap_model(write_model(records.Model(graph))))
    return path


def only(path: Path, **options: str) -> FileVerdict:
    (verdict,) = judge_file(path, **options)
    return verdict


def test_all_chips_on_which_it_passes_are_named(tmp_path: Path) -> None:
    verdict = only(requantizing_file(tmp_path / "a.espdl", [2, 4, -6], [1, 2, -3]))
    assert verdict.passed and verdict.targets == ("esp32s3", "esp32p4")
    assert verdict.ran_on == "esp32s3 and esp32p4 alike"
    assert verdict.target_source == "the file does not tell its chip"


@pytest.mark.parametrize(("half", "passes"), [(1, "esp32s3"), (0, "esp32p4")])
def test_the_only_chip_on_which_it_passes_is_named_with_those_that_were_tried(tmp_path: Path, half: int, passes: str) -> None:
    verdict = only(requantizing_file(tmp_path / "a.espdl", [1, 2], [half, 1]))
    assert verdict.passed and verdict.targets == (passes,) and verdict.ran_on == passes
    assert verdict.target_source == "the file does not tell its chip; the only one it passes on of esp32s3, esp32p4"


def test_a_failure_everywhere_names_all_and_shows_the_nearest(tmp_path: Path) -> None:
    verdict = only(requantizing_file(tmp_path / "a.espdl", [1, 2], [0, 100]))
    assert verdict.outcome is Outcome.FAIL and verdict.ran_on == "esp32s3 and esp32p4 alike"
    assert verdict.wrong == 1 and "got 1, expected 100" in verdict.detail


def test_a_file_that_tells_its_chip_runs_there_alone(tmp_path: Path) -> None:
    path = requantizing_file(tmp_path / "a.espdl", [1], [1], packed=False)
    assert only(path).targets == ("c",)
    assert only(path, target="esp32c3").targets == ("esp32c3",)
    refused = only(path, target="esp32p4")
    assert refused.outcome is Outcome.ERROR and not refused.targets and "cannot run on esp32p4" in refused.detail


def test_a_verdict_is_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "net.espdl"
    path.write_bytes(small_file("c"))
    told = only(path, arithmetic="reference").to_dict()
    assert (told["outcome"], told["passed"], told["targets"], told["arithmetic"]) == ("pass", True, ("c",), "reference")
    (output,) = told["outputs"]
    assert (output["name"], output["size"]) == ("y", 5)
    assert (output["wrong"], output["off_by_one"], output["first"]) == (0, 0, None)
