"""``espdl quantize --streaming-input-shape`` and ``espdl stream-check``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command
from tests.quantize.graphs import network, op, weights

C, T = 4, 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nodes = [
        op("Conv", "x w", "c", kernel_shape=[3], pads=[2, 0]),
        op("Slice", "c s e a", "p"),
        op("Flatten", "p", "f", axis=1),
        op("Gemm", "f g", "y"),
    ]
    constants = {"w": weights(C, C, 3) / 3, "s": [-2], "e": [T], "a": [2], "g": weights(2 * C, 2)}
    onnx.save(network(nodes, {"x": [1, C, T]}, constants), tmp_path / "net.onnx")
    onnx.save(network(nodes[:1], {"x": [1, C, T]}, {"w": constants["w"]}, outputs="c"), tmp_path / "frames.onnx")
    np.save(tmp_path / "calib.npy", np.random.default_rng(0).standard_normal((4, C, T)).astype(np.float32))
    return tmp_path


def test_both_files_come_from_one_calibration(espdl: Command, folder: Path) -> None:
    out = folder / "frames.espdl"
    common = ["-o", out, "--target", "esp32s3", "--calib", folder / "calib.npy"]
    result = espdl("quantize", folder / "frames.onnx", *common, "--streaming-input-shape", "1,4,3", "--test-values", "--json")
    assert result.code == 0
    facts = result.json["streaming"]
    assert Path(facts["files"][0]) == folder / "frames_streaming.espdl"
    assert (facts["chunk"], facts["latency"], facts["caches"], facts["delay"]) == ({"x": 3}, 2, 1, {"c": 0})
    assert espdl("test", out, folder / "frames_streaming.espdl").code == 0
    for data in ([], ["--data", folder / "calib.npy"]):
        proof = espdl("stream-check", out, folder / "frames_streaming.espdl", *data)
        assert proof.code == 0
        assert "12 of 12 frames, delay 0" in proof.out
        assert f"equal: all {4 * 5 * C * T} integers" in proof.out
    text = espdl("quantize", folder / "frames.onnx", *common, "--streaming-input-shape", "x=1,4,3").out
    assert "3 of x in a chunk; latency 2, 1 cache" in text


def test_windows_by_hand(espdl: Command, folder: Path) -> None:
    out = folder / "net.espdl"
    common = [
        folder / "net.onnx",
        "-o",
        out,
        "--target",
        "esp32p4",
        "--calib",
        folder / "calib.npy",
        "--streaming-input-shape",
        "1,4,1",
    ]
    refused = espdl("quantize", *common)
    assert refused.code == 1
    assert "insert_streaming_cache_on_var('c', 2, 'Slice_p')" in refused.err
    assert not out.exists()
    assert espdl("quantize", *common, "--streaming-cache", "c=2@Slice_p").code == 0
    proof = espdl("stream-check", out, folder / "net_streaming.espdl", "--json")
    assert proof.json["passed"] is True
    assert proof.json["chunk"] == {"x": 1}


def test_a_difference_fails_and_says_where(espdl: Command, folder: Path) -> None:
    for name, calib in (("one", np.load(folder / "calib.npy")), ("other", np.load(folder / "calib.npy") * 0.9)):
        np.save(folder / f"{name}.npy", calib)
        assert espdl(
            "quantize", folder / "frames.onnx", "-o", folder / f"{name}.espdl", "--target", "esp32s3", "--calib", folder / f"{name}.npy",
            "--streaming-input-shape", "1,4,3",
        ).code == 0  # fmt: skip
    weights_file = folder / "heavier.onnx"
    proto = onnx.load(folder / "frames.onnx")
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights(C, C, 3, seed=5) / 3, "w"))
    onnx.save(proto, weights_file)
    espdl(
        "quantize", weights_file, "-o", folder / "heavier.espdl", "--target", "esp32s3", "--calib", folder / "one.npy",
        "--streaming-input-shape", "1,4,3",
    )  # fmt: skip
    result = espdl("stream-check", folder / "one.espdl", folder / "heavier_streaming.espdl")
    assert result.code == 1
    assert "DIFFERENT: frame 0 of 'c', recording 0, 3 frames at a time" in result.out
    assert "because" in result.out
    assert espdl("stream-check", folder / "one.espdl", folder / "heavier_streaming.espdl", "--json").json["passed"] is False


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--streaming-cache", "c=2"], 2),
        (["--streaming-input-shape", "1,x"], 2),
        (["--streaming-input-shape", "1,4,3", "--streaming-cache", "c"], 2),
        (["--streaming-input-shape", "1,4,3", "--streaming-input-shape", "1,4,2"], 2),
        (["--streaming-input-shape", "1,3,3"], 1),
    ],
)
def test_wrong_options(espdl: Command, folder: Path, options: list[str], code: int) -> None:
    common = ["-o", folder / "net.espdl", "--target", "esp32p4", "--calib", folder / "calib.npy"]
    assert espdl("quantize", folder / "net.onnx", *common, *options).code == code
    assert not (folder / "net.espdl").exists()


def test_files_that_are_not_there(espdl: Command, folder: Path) -> None:
    assert espdl("stream-check", folder / "a.espdl", folder / "b.espdl").code == 2
    assert espdl("stream-check", folder / "net.onnx", folder / "net.onnx", "--state", "h").code == 2
