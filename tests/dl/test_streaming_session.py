"""StreamingSession: chunks of any length in, frames out; what the file says of time, and what is found without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.dl import Model, StreamingSession
from espdl.dl.streaming import STREAMING_KEY
from espdl.dtypes import DType
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, wrap_model, write_model
from tests.dl.test_streaming import CHANNELS, FRAMES, Net, in_chunks, model, residual_branch, sequence, two_convolutions

SETTINGS = ("esp32s3", DType.INT8, "silicon", "numpy")
X = sequence(DType.INT8)


def stream(chunk: int = 5) -> Model:
    return model(two_convolutions, chunk, True, *SETTINGS)


def with_facts(facts: Any) -> Model:
    """The same file with metadata."""
    net = Net(5, True, "esp32s3", DType.INT8)
    record = FbsLoader(net.file(two_convolutions(net))).load().record
    text = facts if isinstance(facts, str) else json.dumps(facts)
    return Model(
        wrap_model(write_model(replace(record, metadata_props={STREAMING_KEY: text}))), target="esp32s3", backend="numpy"
    )


@pytest.mark.parametrize("sizes", [[5] * 6, [1] * 30, [30], [7, 0, 2, 11, 10], [29, 1]])
@pytest.mark.parametrize("build", [two_convolutions, residual_branch])
def test_frames_come_out_whatever_the_pieces(build: Any, sizes: list[int]) -> None:
    expected = in_chunks(model(build, 5, True, *SETTINGS), X, 5)
    session = StreamingSession(model(build, 5, True, *SETTINGS))
    start, parts = 0, []
    for size in sizes:
        parts.append(session.push(X[:, start : start + size])["y"])
        start += size
        assert sum(part.shape[1] for part in parts) == start // 5 * 5
        assert session.pending == start % 5
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), expected)
    assert session.runs == FRAMES // 5
    session.reset()
    assert (session.runs, session.pending) == (0, 0)
    np.testing.assert_array_equal(session.push(X)["y"], expected)


def test_it_finds_the_time_axis_and_tells_what_it_knows() -> None:
    session = StreamingSession(stream())
    assert session.chunk == {"x": 5}
    assert session.streaming.inputs["x"].axis == session.streaming.outputs["y"].axis == 1
    assert session.delay == {"y": None}
    assert session.latency == 4
    told = {
        "inputs": {"x": {"axis": 1, "frames": 5}},
        "outputs": {"y": {"axis": 1, "frames": 5, "delay": 3, "first": 1, "ahead": 2}},
    }
    session = StreamingSession(with_facts(told))
    assert session.delay == {"y": 3}
    assert session.latency == 6


def test_real_numbers_are_quantized() -> None:
    session, real = StreamingSession(stream()), X[:, :10] * 2.0**-4
    np.testing.assert_array_equal(session.push(real.astype(np.float32))["y"], StreamingSession(stream()).push(X[:, :10])["y"])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (np.zeros((1, CHANNELS, 2), np.int8), "transpose with axes"),
        (np.zeros((1, 3, CHANNELS + 1), np.int8), r"shape [1, frames, 5]"),
        (np.zeros((3, CHANNELS), np.int8), r"shape [1, frames, 5]"),
        (np.zeros((1, 3, CHANNELS), np.int32), "int8 for raw"),
        (np.full((1, 3, CHANNELS), np.nan), "not a number"),
        ({"z": np.zeros((1, 3, CHANNELS), np.int8)}, "no input 'z'"),
    ],
)
def test_pieces_that_do_not_fit_are_refused_and_change_nothing(given: Any, text: str) -> None:
    session = StreamingSession(stream())
    session.push(X[:, :3])
    with pytest.raises(EspdlError) as caught:
        session.push(given)
    assert text in str(caught.value)
    assert session.pending == 3


@pytest.mark.parametrize(
    "facts",
    [
        "no json",
        {"inputs": {"x": {"axis": 1, "frames": 5}}},
        {"inputs": {"x": {"axis": 1, "frames": 4}}, "outputs": {"y": {}}},
        {"inputs": {"x": {"axis": 9, "frames": 5}}, "outputs": {"y": {}}},
        {"inputs": {"z": {"axis": 1, "frames": 5}}, "outputs": {"y": {}}},
        {"inputs": {"x": {"axis": "1", "frames": 5}}, "outputs": {"y": {}}},
        {"inputs": {}, "outputs": {"y": {}}},
        {"inputs": {"x": {"axis": 1, "frames": 5}}, "outputs": {}},
        [],
    ],
)
def test_metadata_that_lies_is_refused(facts: Any) -> None:
    with pytest.raises(EspdlError, match="metadata"):
        StreamingSession(with_facts(facts))


def test_a_model_without_caches_does_not_stream() -> None:
    with pytest.raises(EspdlError, match="does not stream"):
        StreamingSession(model(two_convolutions, FRAMES, False, *SETTINGS))


def test_states_must_fit() -> None:
    with pytest.raises(EspdlError, match="not an output and an input"):
        StreamingSession(stream(), states={"y": "h"})


@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_the_tutorial_of_esp_dl(conformance: Path, target: str) -> None:
    """Its file says nothing of time, and its real C++ run is known."""
    session = StreamingSession(
        Model(conformance / "models" / target / "tcn_streaming_model.espdl", target=target, arithmetic="reference")
    )
    assert session.chunk == {"input.1": 3}
    with np.load(conformance / "golden" / f"{target.removeprefix('esp32')}_tutorial_streaming_model_random.npz") as golden:
        chunks, expected = golden["in:input.1"], golden["out:164"]
    frames = np.concatenate(list(chunks.reshape(-1, 1, 3, 16)), axis=1)
    parts = [session.push(frames[:, start : start + 7])["164"] for start in range(0, frames.shape[1], 7)]
    np.testing.assert_array_equal(np.concatenate(parts)[:, np.newaxis], expected)
