"""Cutting long arrays into chunks for runs in a row."""

from __future__ import annotations

import numpy as np
import pytest

from espdl.dl.series import count_steps, run_series
from espdl.errors import EspdlError
from espdl.tensor import TensorBase


class Recorder:
    """Stands for a model: remembers what it was run on."""

    def __init__(self, **shapes: list[int]) -> None:
        self.inputs = {name: TensorBase(shape) for name, shape in shapes.items()}
        self.runs: list[dict[str, np.ndarray]] = []

    def get_inputs(self) -> dict[str, TensorBase]:
        return self.inputs

    def run_arrays(self, inputs: dict[str, np.ndarray], names: list[str] | None = None) -> dict[str, np.ndarray]:
        for name, array in inputs.items():
            if name not in self.inputs or list(array.shape) != self.inputs[name].shape:
                raise EspdlError("it does not fit")
        self.runs.append(inputs)
        return {"count": np.array(len(self.runs))}


@pytest.mark.parametrize("shape", [(3, 4), (3, 1, 4)])
def test_chunks_along_the_first_axis_or_stacked(shape: tuple[int, ...]) -> None:
    model = Recorder(x=[1, 4])
    data = np.arange(12.0).reshape(shape)
    assert count_steps(model, {"x": data}) == 3  # type: ignore[arg-type]
    assert run_series(model, {"x": data})["count"] == 3  # type: ignore[arg-type]
    np.testing.assert_array_equal([run["x"] for run in model.runs], data.reshape(3, 1, 4))


def test_several_inputs_of_different_lengths() -> None:
    model = Recorder(a=[2, 3], b=[4], c=[])
    run_series(model, {"a": np.zeros((4, 3)), "b": np.zeros((2, 4)), "c": np.zeros(2)})  # type: ignore[arg-type]
    assert len(model.runs) == 2
    single = Recorder(a=[2, 3], b=[4], c=[])
    run_series(single, {"a": np.zeros((2, 3)), "b": np.zeros(4), "c": np.zeros(())})  # type: ignore[arg-type]
    assert len(single.runs) == 1


def test_different_numbers_of_chunks() -> None:
    model = Recorder(a=[1, 3], b=[1, 4])
    with pytest.raises(EspdlError, match="a: 2, b: 3"):
        run_series(model, {"a": np.zeros((2, 3)), "b": np.zeros((3, 4))})  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(5, 3), (1,), (), (2, 2, 4)])
def test_what_does_not_fit_is_told_with_the_inputs(shape: tuple[int, ...]) -> None:
    with pytest.raises(EspdlError, match="does not fit") as caught:
        run_series(Recorder(x=[1, 4]), {"x": np.zeros(shape)})  # type: ignore[arg-type]
    assert "'x': float32 [1, 4]" in str(caught.value)


def test_nothing_to_run_on() -> None:
    with pytest.raises(EspdlError, match="empty"):
        run_series(Recorder(x=[1, 4]), {"x": np.zeros((0, 4))})  # type: ignore[arg-type]
