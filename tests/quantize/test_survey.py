"""What calibration sees of tensors: ends of all, some of the rest; and samples that are kept for a second pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from espdl.quantize import kept_samples
from espdl.quantize.dataloader import Sample
from espdl.quantize.kept_samples import KeptSamples
from espdl.quantize.survey import KEPT, POSITIONS, Survey


def stream(count: int, *shape: int) -> Iterator[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    for index in range(count):
        yield {"a": (rng.standard_normal(shape) * (1 + index)).astype(np.float32)}


def test_no_end_of_a_channel_is_missed_however_much_there_is() -> None:
    survey, every = Survey(["a"]), []
    for tensors in stream(40, 1, 80, 30, 30):
        survey.observe(tensors)
        every.append(tensors["a"][0].reshape(80, -1))
    whole = np.concatenate(every, axis=1)
    moments = survey.moments()["a"]
    np.testing.assert_array_equal(moments.low, whole.min(axis=1))
    np.testing.assert_array_equal(moments.high, whole.max(axis=1))
    assert moments.seen == whole.shape[1]
    assert POSITIONS < survey.values("a").shape[1] <= KEPT
    np.testing.assert_allclose(moments.square, (whole**2).mean(axis=1), rtol=0.5)


def test_what_is_kept_comes_from_all_over_the_data() -> None:
    """Sorted data: samples of every part take part, though memory does not grow."""
    survey = Survey(["a"])
    for index in range(5000):
        survey.observe({"a": np.full((1, 100), index, np.float32)})
    values = survey.values("a")[0]
    assert len(values) <= KEPT
    assert abs(values.mean() / 2500 - 1) < 0.05 and values.max() > 4950


def test_tensors_may_be_shown_some_at_a_time() -> None:
    together, apart = Survey(["a", "b"]), Survey(["a", "b"])
    for one, other in zip(stream(40, 1, 80, 30, 30), stream(40, 1, 5, 7), strict=True):
        tensors = {"a": one["a"], "b": other["a"]}
        together.observe(tensors)
        for name in ("b", "a"):
            apart.observe({name: tensors[name]})
    for name in ("a", "b"):
        np.testing.assert_array_equal(apart.values(name), together.values(name))
        np.testing.assert_array_equal(apart.moments()[name].square, together.moments()[name].square)


def test_what_is_kept_keeps_no_tensor_in_memory() -> None:
    survey = Survey(["a"])
    array = np.ones((1, 5), np.float32)
    survey.observe({"a": array})
    array[:] = 2
    np.testing.assert_array_equal(survey.values("a"), np.ones((5, 1)))


def test_few_channels_share_as_many_elements() -> None:
    survey = Survey(["a"])
    for tensors in stream(2, 1, 1, 10000):
        survey.observe(tensors)
    assert survey.values("a").shape[1] > 32 * POSITIONS


@pytest.mark.parametrize("shape", [(7,), (), (3, 4), (2, 5, 6)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    survey = Survey(["a"])
    (tensors,) = stream(1, *shape)
    survey.observe(tensors)
    assert len(survey.values("a")) == (shape[1] if len(shape) > 1 else 1)
    assert survey.values("a").size == tensors["a"].size


def test_nothing_is_known_without_finite_data() -> None:
    survey = Survey(["a"])
    assert survey.moments() == {}
    survey.observe({"a": np.array([[1.0, np.nan]], np.float32)})
    assert survey.moments() == {}


@pytest.mark.parametrize("memory", [1, 1 << 20])
def test_a_stream_is_gone_through_again(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_samples, "IN_MEMORY", memory)
    with KeptSamples(stream(3, 2, 2)) as kept:
        passes: list[list[Sample]] = [list(kept), list(kept)]
    wanted = list(stream(3, 2, 2))
    for found in passes:
        assert len(found) == 3
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one["a"], other["a"])
