"""The fuzzers' harness on their seeds and on whole mutations of them; ``make fuzz`` goes further, guided by coverage."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.harness import exercise_model, exercise_reader, mutate
from fuzz.make_corpus import containers, networks

CORPUS = Path(__file__).resolve().parent.parent / "fuzz/corpus"


def content(folder: str) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in sorted((CORPUS / folder).glob("*.bin"))}


def test_the_seeds_are_those_of_the_writer() -> None:
    assert content("reader") == containers()
    assert content("model") == networks()


@pytest.mark.parametrize("name", sorted(content("reader")))
def test_every_kind_of_file_can_be_read(name: str) -> None:
    data = content("reader")[name]
    assert exercise_reader(data)
    for size in range(0, len(data), 97):
        exercise_reader(data[:size])


@pytest.mark.parametrize("name", sorted(content("model")))
def test_networks_and_what_becomes_of_them(name: str) -> None:
    data = content("model")[name]
    assert exercise_model(data)
    outcomes = [exercise_model(mutate(data, seed, lambda content: content[:-7])) for seed in range(40)]
    assert True in outcomes
    assert False in outcomes
