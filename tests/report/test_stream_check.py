"""The proof that a stream is the whole run: it passes where it should, and finds what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.dl import Model, StreamingSession
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, records, wrap_model, write_model
from espdl.quantize.api import QuantizedModel, quantize
from espdl.report.recordings import load_recordings
from espdl.report.stream_check import check_streaming
from tests.quantize.graphs import network, op, weights
from tests.quantize.streams import quantized

C, T = 4, 24


def chain(seed: int = 1) -> Any:
    nodes = [
        op("Conv", "x v", "a", kernel_shape=[3], pads=[2, 0]),
        op("Sigmoid", "a", "b"),
        op("Conv", "b w", "c", kernel_shape=[3], pads=[4, 0], dilations=[2]),
        op("Add", "c b", "y"),
    ]
    return network(nodes, {"x": [1, C, T]}, {"v": weights(C, C, 3) / 3, "w": weights(C, C, 3, seed=seed) / 3})


@pytest.fixture(scope="module")
def model() -> QuantizedModel:
    return quantized(chain())


def changed(data: bytes, change: Callable[[records.Model], None]) -> Model:
    record = FbsLoader(data).load().record
    change(record)
    return Model(wrap_model(write_model(record)), target="esp32s3")


def node(record: records.Model, name: str) -> records.Node:
    return next(node for node in record.graph.node if node.name == name)


def test_all_frames_of_every_chunking_are_compared(model: QuantizedModel) -> None:
    result = check_streaming(model.model(), model.streaming([1, C, 3]).model())
    assert result.passed
    assert result.compared == 4 * 5 * C * T
    assert result.chunkings == (
        "3 frames at a time",
        "1 frame at a time",
        "4 frames at a time",
        "all 24 frames at once",
        "uneven pieces",
    )
    assert result.to_dict()["passed"] is True


def test_another_weight_is_found(model: QuantizedModel) -> None:
    def change(record: records.Model) -> None:
        weight = next(tensor for tensor in record.graph.initializer if tensor.name == node(record, "Conv_c").input[1])
        weight.data = weight.data.copy()
        weight.data.reshape(-1)[0] ^= 64

    result = check_streaming(model.model(), changed(model.streaming([1, C, 3]).data, change))
    assert result.difference is not None
    assert result.cause == "Conv 'Conv_c' has other constants in the two files"


def test_another_exponent_is_found(model: QuantizedModel) -> None:
    def change(record: records.Model) -> None:
        info = next(value for value in record.graph.value_info if value.name == "c")
        info.exponents = (info.exponents[0] + 1,)

    result = check_streaming(model.model(), changed(model.streaming([1, C, 3]).data, change))
    assert result.cause.startswith("tensor 'c' has exponent ")
    assert result.cause.endswith("they were calibrated differently")


def test_the_first_tensor_that_departs_is_named(model: QuantizedModel) -> None:
    """The second convolution looks two frames too far back."""

    def change(record: records.Model) -> None:
        convolution = node(record, "Conv_c")
        attribute = next(attribute for attribute in convolution.attribute if attribute.name == "dilations")
        attribute.value = [1]
        pads = next(attribute for attribute in convolution.attribute if attribute.name == "pads")
        pads.value = [0, 0]
        cache = next(n for n in record.graph.node if n.op_type == "StreamingCache" and n.output[0] == convolution.input[0])
        window = next(attribute for attribute in cache.attribute if attribute.name == "window_size")
        window.value = 3
        info = next(value for value in record.graph.value_info if value.name == cache.output[0])
        assert info.shape is not None
        info.shape = (info.shape[0], info.shape[1] - 2, *info.shape[2:])

    result = check_streaming(model.model(), changed(model.streaming([1, C, 3]).data, change))
    found = result.difference
    assert found is not None
    assert (found.recording, found.chunking, found.output) == (0, "3 frames at a time", "y")
    assert found.frame is not None and found.frame < 4
    assert found.expected != found.got
    assert result.cause == "tensor 'c' is the first whose frames differ: see Conv 'Conv_c' and what it reads"


def test_a_delay_that_the_file_tells_wrongly(model: QuantizedModel) -> None:
    stream = model.streaming([1, C, 3])
    text = stream.record.metadata_props["streaming"].replace('"delay":0', '"delay":1')
    wrong = wrap_model(write_model(replace(stream.record, metadata_props={"target": "esp32s3", "streaming": text})))
    result = check_streaming(model.model(), Model(wrong))
    assert not result.passed
    assert result.cause == "every tensor follows the whole run; the outputs follow it at another delay than the file says"


def test_a_file_that_tells_nothing_is_compared_from_its_end(model: QuantizedModel) -> None:
    stream = model.streaming([1, C, 3])
    silent = wrap_model(write_model(replace(stream.record, metadata_props={"target": "esp32s3"})))
    result = check_streaming(model.model(), Model(silent))
    assert result.passed
    assert (result.outputs["y"].told, result.outputs["y"].compared) == (False, T)


def test_without_metadata_frames_may_only_be_missing_as_far_as_caches_reach() -> None:
    """Two convolutions without pads lose their first frames; the second one's frames before the first were never computed."""
    nodes = [
        op("Conv", "x v", "a", kernel_shape=[3], pads=[0, 0]),
        op("Conv", "a w", "y", kernel_shape=[3], pads=[2, 0]),
    ]
    model = quantized(network(nodes, {"x": [1, C, T]}, {"v": weights(C, C, 3) / 3, "w": weights(C, C, 3, seed=1) / 3}))
    stream = model.streaming([1, C, 3])
    told = check_streaming(model.model(), stream.model()).outputs["y"]
    silent = Model(wrap_model(write_model(replace(stream.record, metadata_props={"target": "esp32s3"}))))
    found = check_streaming(model.model(), silent).outputs["y"]
    assert told.warm_up == found.warm_up == 2
    assert told.compared == found.compared == T - 4


def test_files_of_different_networks_are_refused(model: QuantizedModel) -> None:
    other = quantized(
        network([op("Conv", "x w", "z", kernel_shape=[3], pads=[2, 0])], {"x": [1, C, T]}, {"w": weights(C, C, 3)}, outputs="z")
    )
    with pytest.raises(EspdlError, match="different outputs"):
        check_streaming(other.model(), model.streaming([1, C, 3]).model())
    with pytest.raises(EspdlError, match="does not stream"):
        check_streaming(model.model(), model.model())


def test_the_tutorial_of_esp_dl(conformance: Path) -> None:
    for target in ("esp32s3", "esp32p4"):
        models = conformance / "models" / target
        offline, stream = (Model(models / f"{name}.espdl", target=target) for name in ("tcn_model", "tcn_streaming_model"))
        result = check_streaming(offline, stream)
        assert result.passed
        assert result.compared == 4 * 5 * 16


def test_recordings_in_files(model: QuantizedModel, tmp_path: Path) -> None:
    whole = model.model()
    onnx_order = np.random.default_rng(0).standard_normal((3, C, T)).astype(np.float32)
    file_order = onnx_order.transpose(0, 2, 1)
    np.save(tmp_path / "onnx.npy", onnx_order)
    np.save(tmp_path / "file.npy", file_order)
    np.savez(tmp_path / "file.npz", x=file_order[:, np.newaxis])
    np.save(tmp_path / "bad.npy", onnx_order[:, :3])
    np.savez(tmp_path / "bad.npz", z=file_order)
    (tmp_path / "text.npy").write_text("no array")
    for name in ("onnx.npy", "file.npy", "file.npz"):
        found = load_recordings(tmp_path / name, whole)
        assert len(found) == 3
        np.testing.assert_array_equal(found[1]["x"], file_order[1:2])
    for name in ("bad.npy", "bad.npz", "text.npy"):
        with pytest.raises(EspdlError, match=name):
            load_recordings(tmp_path / name, whole)


def test_float_files_agree_but_for_the_order_of_their_sums() -> None:
    float_model = quantize(chain(), None, target="esp32s3", bits="none")
    stream = float_model.streaming([1, C, 4])
    assert check_streaming(float_model.model(), stream.model()).passed
    other = quantize(chain(seed=2), None, target="esp32s3", bits="none")
    wrong = other.streaming([1, C, 4]).model()
    assert not check_streaming(float_model.model(), wrong).passed


def test_the_file_for_chunks_is_not_the_whole_network(model: QuantizedModel) -> None:
    stream = model.streaming([1, C, 4]).model()
    with pytest.raises(EspdlError, match="first file"):
        check_streaming(stream, stream)
    with pytest.raises(EspdlError, match=r"Model\(path\)"):
        StreamingSession("net.espdl")  # type: ignore[arg-type]
