"""Damaged files: whatever the bytes, loading gives a model or an ``EspdlError``, soon and without much memory."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fuzz.harness import ask_for_everything

from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, wrap_model

SMALL_MODELS = ["esp32p4/sin_model", "esp32s3/tcn_streaming_model", "c/linear_ishap_1_31_kshap_32_31_relu_s8"]


def load_and_use(data: bytes) -> bool:
    """Loads and asks for everything; False when the file was refused."""
    try:
        model = FbsLoader(data).load()
    except EspdlError as error:
        if not error.where:
            pytest.fail(f"no place: {error}")
        return False
    ask_for_everything(model)
    return True


def flips(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies of ``data`` with one to eight random bytes changed."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 9)):
            damaged[rng.integers(len(data))] ^= int(rng.integers(1, 256))
        yield bytes(damaged)


@pytest.fixture(params=["sample", *SMALL_MODELS])
def file(request: pytest.FixtureRequest, espdl_file: bytes) -> bytes:
    if request.param == "sample":
        return espdl_file
    directory: Path = request.getfixturevalue("conformance")
    return (directory / "models" / f"{request.param}.espdl").read_bytes()


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_truncated_at_every_64th_byte(file: bytes) -> None:
    assert load_and_use(file)
    for size in range(0, len(file), 64):
        assert not load_and_use(file[:size])


def test_payload_truncated_at_every_64th_byte(file: bytes) -> None:
    payload = file[16:]
    for size in range(0, len(payload), 64):
        load_and_use(wrap_model(payload[:size]))


def test_a_thousand_random_flips(file: bytes) -> None:
    started = time.process_time()
    outcomes = [load_and_use(damaged) for damaged in flips(file, 1000, seed=11)]
    assert time.process_time() - started < 60  # takes 3 seconds
    assert True in outcomes
    assert False in outcomes


def test_flips_in_the_tables_only(espdl_file: bytes) -> None:
    """Random flips mostly hit tensor data; here they hit offsets, lengths and vtables."""
    rng = np.random.default_rng(12)
    limit = 1500  # the writer puts the tables of the graph first
    for _ in range(1000):
        damaged = bytearray(espdl_file)
        position = 16 + int(rng.integers(limit))
        damaged[position] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
        load_and_use(bytes(damaged))


def test_memory_is_bounded_by_the_size_of_the_file(espdl_file: bytes) -> None:
    damaged_files = list(flips(espdl_file, 150, seed=13))
    for damaged in damaged_files:
        load_and_use(damaged)  # what an error is worded with is imported now
    tracemalloc.start()
    try:
        for damaged in damaged_files:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            load_and_use(damaged)
            assert tracemalloc.get_traced_memory()[1] - before < 32 * len(espdl_file)  # the text of a file is the largest
    finally:
        tracemalloc.stop()


def test_random_bytes() -> None:
    rng = np.random.default_rng(14)
    for _ in range(300):
        assert not load_and_use(wrap_model(rng.bytes(int(rng.integers(8, 4096)))))
