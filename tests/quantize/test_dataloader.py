"""Batches of any kind become samples of the network's shape; what does not fit is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from espdl.errors import EspdlError
from espdl.quantize.dataloader import as_array, samples_of
from espdl.quantize.importer import load_network
from tests.quantize.graphs import network, op

IMAGES = np.arange(4 * 3 * 5 * 5, dtype=np.float32).reshape(4, 3, 5, 5)


def one_input() -> ir.Model:
    return load_network(network([op("Relu", "x", "y")], {"x": [1, 3, 5, 5]}))


def two_inputs() -> ir.Model:
    return load_network(network([op("Add", "a b", "y")], {"a": [1, 4], "b": [1, 4]}))


class Tensor:
    """Looks like a tensor of a training library: it lives elsewhere, and remembers gradients."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.steps: list[str] = []

    def detach(self) -> Tensor:
        self.steps.append("detach")
        return self

    def cpu(self) -> Tensor:
        self.steps.append("cpu")
        return self

    def numpy(self) -> np.ndarray:
        assert self.steps == ["detach", "cpu"]
        return self.array


class Arraylike:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(IMAGES[:1], dtype=dtype)


@pytest.mark.parametrize(
    "batch",
    [
        IMAGES[:1],
        IMAGES[0],
        [IMAGES[:1]],
        (IMAGES[:1],),
        {"x": IMAGES[:1]},
        IMAGES[:1].tolist(),
        IMAGES[:1].astype(np.float64),
        IMAGES[:1].astype(np.uint8),
        Arraylike(),
        Tensor(IMAGES[:1]),
        [Tensor(IMAGES[:1])],
    ],
    ids=["array", "unbatched", "list", "tuple", "mapping", "nested", "float64", "uint8", "arraylike", "tensor", "tensors"],
)
def test_a_batch_may_come_in_many_forms(batch: Any) -> None:
    (sample,) = samples_of([batch], one_input())
    assert sample["x"].dtype == np.float32
    assert np.array_equal(sample["x"], IMAGES[:1])


def test_a_batch_of_several_is_taken_apart() -> None:
    samples = list(samples_of([IMAGES, IMAGES[:2]], one_input()))
    assert [sample["x"].shape for sample in samples] == [(1, 3, 5, 5)] * 6
    assert np.array_equal(samples[3]["x"], IMAGES[3:])


def test_several_inputs_by_place_or_by_name() -> None:
    a, b = np.full((2, 4), 1.0), np.full((2, 4), 2.0)
    for batch in ([a, b], {"b": b, "a": a}):
        samples = list(samples_of([batch], two_inputs()))
        assert len(samples) == 2
        assert samples[0]["a"].tolist() == [[1, 1, 1, 1]]
        assert samples[0]["b"].tolist() == [[2, 2, 2, 2]]


def test_a_loader_is_gone_through_again_until_there_are_enough() -> None:
    assert len(list(samples_of([IMAGES[:1]] * 3, one_input(), 7))) == 7
    assert len(list(samples_of([IMAGES[:1]] * 9, one_input(), 7))) == 7
    assert len(list(samples_of([IMAGES[:1]] * 3, one_input()))) == 3


def test_a_generator_gives_what_it_has() -> None:
    def batches() -> Iterator[np.ndarray]:
        yield from (IMAGES[:1], IMAGES[1:2])

    assert len(list(samples_of(batches(), one_input(), 7))) == 2


def test_batches_are_read_one_at_a_time() -> None:
    read: list[int] = []

    def batches() -> Iterator[np.ndarray]:
        for number in range(100):
            read.append(number)
            yield IMAGES[:1]

    samples = samples_of(batches(), one_input(), 50)
    assert read == [0]
    next(samples), next(samples)
    assert len(read) <= 2


def test_collate_chooses_what_of_a_batch_counts() -> None:
    samples = list(samples_of([(IMAGES[:1], np.array([7]))], one_input(), collate=lambda batch: batch[0]))
    assert samples[0]["x"].shape == (1, 3, 5, 5)


@pytest.mark.parametrize(
    ("loader", "text"),
    [
        ([], "empty"),
        (None, "iterable"),
        ("photos", "text"),
        (7, "iterable"),
        ([IMAGES.transpose(0, 2, 3, 1)], "channels first"),
        ([np.zeros((1, 3, 5, 6))], r"'x' has shape \[1, 3, 5, 5\], given is \[1, 3, 5, 6\]"),
        ([(IMAGES[:1], np.array([1]))], "collate_fn"),
        ([{"z": IMAGES}], "feeds z, the network's inputs are x"),
        ([np.array(["a"])], "no numbers"),
        ([[[[1.0], [1.0, 2.0]]]], "is no array"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(loader: Any, text: str) -> None:
    with pytest.raises(EspdlError, match=text):
        samples_of(loader, one_input(), 4)


def test_a_wrong_batch_among_good_ones_is_named() -> None:
    samples = samples_of([IMAGES[:1], IMAGES[:, :2]], one_input())
    next(samples)
    with pytest.raises(EspdlError, match="batch 1"):
        next(samples)


def test_inputs_must_have_as_many_samples_as_each_other() -> None:
    with pytest.raises(EspdlError, match="different numbers of samples"):
        samples_of([[np.zeros((2, 4)), np.zeros((3, 4))]], two_inputs())


def test_no_steps_are_no_calibration() -> None:
    with pytest.raises(EspdlError, match="calib_steps"):
        samples_of([IMAGES], one_input(), 0)


def test_numbers_of_other_types_stay_what_they_are() -> None:
    assert as_array(np.array([True, False])).dtype == np.bool_
    assert as_array(3.5).shape == ()
