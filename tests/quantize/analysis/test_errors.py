"""Graphwise and layerwise errors against the same figures, computed one layer at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from espdl.errors import EspdlError
from espdl.quantization.analyse import graphwise_error_analyse, layerwise_error_analyse, statistical_analyse
from espdl.quantize.analysis.compared import Compared
from espdl.quantize.analysis.graphwise import graphwise
from espdl.quantize.analysis.layerwise import layerwise
from espdl.quantize.analysis.noise import MEASURES, cosine, mse, snr
from espdl.quantize.analysis.rows import Disturbances
from espdl.quantize.analysis.statistics import statistics
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.float_run import FloatRun
from espdl.quantize.pipeline import prepare
from tests.quantize.graphs import network, op, run, weights

IMAGE = {"x": (1, 3, 8, 8)}


def branches() -> onnx.ModelProto:
    """Convolutions that meet in Add, Concat and a product, behind them a Reshape and a Gemm; two outputs."""
    nodes = [
        op("Conv", "x w0 b0", "c0", pads=[1, 1, 1, 1]),
        op("Relu", "c0", "r0"),
        op("Conv", "r0 w1", "c1", pads=[1, 1, 1, 1], group=4),
        op("Add", "r0 c1", "s"),
        op("Conv", "s w2", "c2"),
        op("Sigmoid", "c2", "g"),
        op("Mul", "s g", "m"),
        op("Concat", "m r0", "k", axis=1),
        op("AveragePool", "k", "p", kernel_shape=[2, 2], strides=[2, 2]),
        op("Reshape", "p shape", "f"),
        op("Gemm", "f w3 b3", "y"),
        op("Transpose", "s", "z", perm=[0, 2, 3, 1]),
    ]
    constants = {
        "w0": weights(4, 3, 3, 3, seed=1), "b0": weights(4, seed=2), "w1": weights(4, 1, 3, 3, seed=3), "w2": weights(4, 4, 1, 1),
        "w3": weights(128, 5, seed=4) * 0.1, "b3": weights(5, seed=5), "shape": [1, 128],
    }  # fmt: skip
    return network(nodes, IMAGE, constants, outputs="y z")


def tokens() -> onnx.ModelProto:
    """Products of computed matrices whose rows are not on the first axis, and a Softmax."""
    nodes = [
        op("MatMul", "x w", "h"),
        op("Transpose", "h", "qt", perm=[1, 0, 2]),
        op("Transpose", "h", "kt", perm=[1, 2, 0]),
        op("MatMul", "qt kt", "s"),
        op("Softmax", "s", "p", axis=-1),
        op("MatMul", "p wo", "y"),
    ]
    return network(nodes, {"x": (7, 1, 5)}, {"w": weights(5, 6, seed=1) * 0.4, "wo": weights(7, 4, seed=4)})


def scalars() -> onnx.ModelProto:
    """Tensors without axes behind two layers."""
    nodes = [
        op("Conv", "x w0", "c0"),
        op("ReduceMean", "c0", "m", keepdims=0),
        op("Conv", "c0 w1", "c1"),
        op("ReduceMean", "c1", "n", keepdims=0),
        op("Add", "m n", "s"),
        op("Mul", "s k", "y"),
    ]
    constants = {"w0": weights(4, 3, 1, 1) + 0.5, "w1": weights(2, 4, 1, 1, seed=1) + 0.5, "k": np.array(3, np.float32)}
    return network(nodes, IMAGE, constants)


def quantized(source: onnx.ModelProto, target: str = "esp32s3", **options: Any) -> QuantizedModel:
    return quantize(source, samples(source), target=target, **options)


def samples(source: onnx.ModelProto, count: int = 3) -> list[NDArray[np.float32]]:
    shape = [dim.dim_value for dim in source.graph.input[0].type.tensor_type.shape.dim]
    return list(np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32))


def compared(model: QuantizedModel, **options: Any) -> Compared:
    return Compared(
        model.data, model.graph.original, model.samples, target=model.graph.chip, stored=model.lowered.stored, **options
    )


def behind(model: ir.Model, given: Mapping[str, NDArray], sample: Mapping[str, NDArray]) -> list[NDArray]:
    """The network's outputs with some tensors set, by a network whose inputs they are."""
    proto = ir.serde.serialize_model(model)
    for node in proto.graph.node:
        for index, name in enumerate(node.output):
            if name in given:
                node.output[index] = f"{name}_unused"
    for name, array in given.items():
        proto.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, array.shape))
    return run(proto, {**sample, **{name: np.asarray(array, np.float32) for name, array in given.items()}})


@pytest.mark.parametrize("rows", [1, 2, 8])
@pytest.mark.parametrize("source", [branches(), tokens(), scalars()], ids=["branches", "tokens", "scalars"])
def test_layerwise_is_one_layer_at_a_time(source: onnx.ModelProto, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("espdl.quantize.analysis.rows.ROWS", rows)
    model = quantized(source)
    found = compared(model)
    names = [value.name or "" for node in found.network.graph for value in node.outputs]
    expected: dict[str, list[float]] = {}
    for sample in model.samples:
        exact = FloatRun(found.network, names).run(sample)
        plain = run(found.network, dict(sample))
        for layer in found.layers:
            given = layer.run(found.model, found.stored, {**exact, **sample})
            results = behind(found.network, given, sample)
            expected.setdefault(layer.name, []).append(float(np.mean([snr(a, b) for a, b in zip(results, plain, strict=True)])))
    errors = layerwise(found)
    assert list(errors) == [layer.name for layer in found.layers] == list(expected)
    assert len(errors) == sum(node.op_type in ("Conv", "Gemm", "MatMul") for node in source.graph.node)
    for name, value in errors.items():
        assert value == pytest.approx(np.mean(expected[name]), rel=1e-3, abs=1e-9)
        assert value > 0


@pytest.mark.parametrize("source", [branches(), tokens()], ids=["branches", "tokens"])
def test_a_layer_alone_on_the_files_own_tensors_gives_what_the_file_gives(source: onnx.ModelProto) -> None:
    model = quantized(source, "esp32p4")
    found = compared(model)
    for sample in model.samples:
        names = {name for layer in found.layers for name, _ in layer.inputs} | {
            n for layer in found.layers for n in layer.outputs
        }
        own = found.reals(sample, names - set(found.inputs)) | dict(sample)
        for layer in found.layers:
            for name, array in layer.run(found.model, found.stored, own).items():
                np.testing.assert_array_equal(array, own[name])


def test_graphwise_is_the_distance_of_both_runs() -> None:
    model = quantized(branches())
    found = compared(model)
    errors = graphwise(found, fetches=10**6)
    for layer in found.layers:
        name = layer.outputs[0]
        each = [snr(found.reals(s, [name])[name], FloatRun(found.network, [name]).run(s)[name]) for s in model.samples]
        assert errors[layer.name] == pytest.approx(np.mean(each), rel=1e-6)
    picked = graphwise(found, fetches=64)
    assert picked.keys() == errors.keys()
    for name, value in picked.items():
        assert 0.3 * errors[name] < value < 3 * errors[name]


def test_a_file_is_matched_by_names_and_shapes() -> None:
    model = quantized(branches())
    network_alone = prepare(model.graph.model, model.graph.chip)
    matched = Compared(model.data, network_alone, model.samples)
    for name, place in matched.stored.items():
        assert place.name == model.lowered.stored[name].name
        assert place.format == model.lowered.stored[name].format
    assert graphwise(matched) == graphwise(compared(model))
    assert layerwise(matched) == layerwise(compared(model))


def test_equal_sizes_of_axes_are_told_apart_by_what_the_file_computes() -> None:
    nodes = [op("Conv", "x w", "c", pads=[1, 1, 1, 1]), op("Relu", "c", "y")]
    source = network(nodes, {"x": (1, 4, 4, 4)}, {"w": weights(4, 4, 3, 3)})
    model = quantized(source)
    matched = Compared(model.data, model.graph.original, model.samples)
    assert matched.stored["y"].order == model.lowered.stored["y"].order == (0, 2, 3, 1)


def test_a_file_of_another_network_is_refused() -> None:
    model = quantized(branches())
    with pytest.raises(EspdlError, match="not one of this network: it lacks input 'x'"):
        Compared(model.data, prepare(quantized(tokens()).graph.model, model.graph.chip), model.samples)
    with pytest.raises(EspdlError, match="no samples"):
        Compared(model.data, model.graph.original, [])


def test_what_does_not_reach_an_output_does_not_count() -> None:
    errors = layerwise(compared(quantized(branches())), outputs=["z"])
    assert errors["Conv_c2"] == errors["Gemm_y"] == 0
    assert errors["Conv_c0"] > 0
    with pytest.raises(EspdlError, match="no tensor 'zz'"):
        layerwise(compared(quantized(branches())), outputs=["zz"])


def test_measures() -> None:
    a, b = np.array([[3.0, 4.0]]), np.array([[3.0, 0.0]])
    assert snr(a, b) == pytest.approx(16 / 9, rel=1e-6)
    assert mse(a, b) == 8
    assert cosine(a, b) == pytest.approx(0.6)
    zero = np.zeros(2)
    assert (cosine(zero, zero), cosine(a, zero), snr(zero, zero)) == (1, 0, 0)
    assert set(MEASURES) == {"snr", "mse", "cosine"}


def test_more_than_needed_is_not_kept_in_memory() -> None:
    model, pulled = quantized(branches()), []

    def stream() -> Any:
        for index in range(50):
            pulled.append(index)
            yield model.samples[index % 3]

    found = Compared(model.data, model.graph.original, stream(), target=model.graph.chip, stored=model.lowered.stored)
    errors = found.each(lambda sample: sample["x"].sum(), 40, "")
    next(errors)
    assert len(pulled) < 10
    assert len(list(errors)) == 39 and len(pulled) == 40


def test_statistics_tell_range_and_noise() -> None:
    model = quantized(branches())
    found = {item.name: item for item in statistics(compared(model))}
    exact = np.stack([FloatRun(model.graph.model, ["y"]).run(s)["y"] for s in model.samples])
    got = np.stack([compared(model).reals(s, ["y"])["y"] for s in model.samples])
    y = found["y"]
    assert y.made_by == "Gemm Gemm_y" and y.bits == 8 and found["x"].made_by == ""
    assert (y.smallest, y.largest) == (exact.min(), exact.max())
    assert y.low == -128 * 2.0**y.exponent and y.high == 127 * 2.0**y.exponent
    assert y.saturated == pytest.approx(np.mean((exact < y.low) | (exact > y.high)))
    assert y.used == pytest.approx(np.abs(exact).max() / -y.low)
    noise = got.astype(np.float64) - exact
    assert (y.noise_mean, y.noise_std) == pytest.approx((noise.mean(), noise.std()), rel=1e-5)
    centred = noise - noise.mean()
    assert y.noise_skewness == pytest.approx(np.mean(centred**3) / noise.std() ** 3, rel=1e-4)
    assert y.noise_kurtosis == pytest.approx(np.mean(centred**4) / noise.std() ** 4, rel=1e-4)
    assert y.noise_to_signal == pytest.approx((noise**2).sum() / (exact.astype(np.float64) ** 2).sum(), rel=1e-6)


def test_the_functions_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    source = branches()
    model, data = quantized(source), samples(source)
    graph = graphwise_error_analyse(graph=model, running_device="cpu", dataloader=data, steps=2)
    layer = layerwise_error_analyse(graph=model, dataloader=data, steps=2, method="mse")
    printed = capsys.readouterr().out
    assert printed.count("Layer") == 2 and "NOISE:SIGNAL POWER RATIO" in printed and "MSE LOSS" in printed
    assert list(graph) == list(layer) == ["Conv_c0", "Conv_c1", "Conv_c2", "Gemm_y"]
    assert layerwise_error_analyse(model, data, "z", verbose=False, steps=2)["Gemm_y"] == 0
    assert not capsys.readouterr().out
    assert {row["name"] for row in statistical_analyse(model, "cpu", data)} >= {"x", "y", "z"}
    for wrong in ({"running_device": "cuda"}, {"method": "psnr"}, {"dataloader": None}):
        with pytest.raises(EspdlError):
            graphwise_error_analyse(**{"graph": model, "dataloader": data, **wrong})
    with pytest.raises(EspdlError, match="espdl_quantize_onnx"):
        graphwise_error_analyse(source, dataloader=data)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"method": None}, "measure"), ({"fetchs": 0}, "fetchs"), ({"fetchs": "all"}, "fetchs"), ({"steps": "8"}, "steps")],
)
def test_values_of_another_kind_are_refused(wrong: dict[str, Any], text: str) -> None:
    source = branches()
    model, data = quantized(source), samples(source)
    with pytest.raises(EspdlError, match=text):
        graphwise_error_analyse(**{"graph": model, "dataloader": data, **wrong})
    with pytest.raises(EspdlError, match="interested_outputs"):
        layerwise_error_analyse(model, data, 3)  # type: ignore[arg-type]


def test_data_may_be_a_file(tmp_path: Path) -> None:
    source = branches()
    model, data = quantized(source), samples(source)
    np.save(tmp_path / "data.npy", np.concatenate(data))
    given = {"graph": model, "steps": 2, "verbose": False}
    assert graphwise_error_analyse(dataloader=tmp_path / "data.npy", **given) == graphwise_error_analyse(dataloader=data, **given)


@pytest.mark.parametrize("name", ["mobilenetv2_stack", "yolo_like", "attention_block", "tcn_stream", "autoencoder"])
@pytest.mark.parametrize("target", ["esp32s3", "esp32p4"])
def test_real_networks(conformance: Path, name: str, target: str) -> None:
    path = conformance / "networks" / name / f"{name}_op18.onnx"
    data = np.load(conformance / "networks" / name / f"{name}.npz")
    batches = [[data[f"calib{i}_in{j}"] for j in range(9) if f"calib{i}_in{j}" in data] for i in range(2)]
    model = quantize(path, batches, target=target)
    found = compared(model)
    errors, so_far = layerwise(found), graphwise(found)
    assert errors.keys() == so_far.keys() and found.layers
    assert all(0 <= value < 0.2 for value in errors.values())
    layer = found.layers[len(found.layers) // 2]
    sample = model.samples[0]
    exact = FloatRun(found.network, [n for n, _ in layer.inputs]).run(sample)
    disturbed = Disturbances(found.network, [layer.outputs], found.outputs)
    plain = FloatRun(found.network, [*disturbed.needs, *found.outputs]).run(sample)
    given = layer.run(found.model, found.stored, exact)
    (rows,) = disturbed.start().run(plain, [given])
    for name, array in zip(found.outputs, behind(found.network, given, sample), strict=True):
        np.testing.assert_allclose(rows.get(name, plain[name]), array, rtol=1e-4, atol=1e-4 * float(np.abs(array).max()))


def test_a_full_temporary_file_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantized(branches())
    errors, facts = layerwise(compared(model)), statistics(compared(model))
    monkeypatch.setattr("espdl.quantize.shelf.FULL", 1)  # one sample at a time
    assert layerwise(compared(model)) == errors
    assert statistics(compared(model)) == facts
