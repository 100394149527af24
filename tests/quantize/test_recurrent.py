"""GRU and LSTM from ONNX as PyTorch exports them: what stands in the file, and how close it is to float."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dtypes import DType
from espdl.fbs import read_model, records
from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.float_run import FloatRun
from espdl.quantize.importer import load_network
from espdl.quantize.platform import get_target_platform
from espdl.quantize.setting import QuantizationSetting, QuantizationSettingFactory
from espdl.quantize.test_values import to_file
from tests.quantize.graphs import network, op, weights
from tests.quantize.test_networks import calibration

STEPS, INPUTS, HIDDEN = 9, 5, 8
GATES = {"GRU": 3, "LSTM": 4}
X = {"x": [STEPS, 1, INPUTS]}
DATA = [array * 0.8 for array in np.random.default_rng(2).standard_normal((12, STEPS, 1, INPUTS)).astype(np.float32)]


def layer(kind: str, names: str, outputs: str, **attributes: Any) -> Any:
    linear = {"linear_before_reset": 1} if kind == "GRU" else {}
    return op(kind, names, outputs, hidden_size=HIDDEN, **linear, **attributes)


def parameters(kind: str, inputs: int = INPUTS, directions: int = 1, seed: int = 0, names: str = "wrb") -> dict[str, Any]:
    rows = GATES[kind] * HIDDEN
    shapes = ((directions, rows, inputs), (directions, rows, HIDDEN), (directions, 2 * rows))
    return {name: weights(*shape, seed=seed + i) * 0.4 for i, (name, shape) in enumerate(zip(names, shapes, strict=True))}


def node(result: QuantizedModel, op_type: str) -> records.Node:
    return next(item for item in result.record.graph.node if item.op_type == op_type)


def attribute(item: records.Node, name: str) -> Any:
    return next((entry.value for entry in item.attribute if entry.name == name), None)


def infos(result: QuantizedModel) -> dict[str, records.ValueInfo]:
    return {value.name: value for value in result.record.graph.value_info}


def tensors(result: QuantizedModel) -> dict[str, records.Tensor]:
    return {tensor.name: tensor for tensor in result.record.graph.initializer}


def worst(result: QuantizedModel) -> float:
    return min(result.snr(result.samples).values())


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_what_the_file_holds(kind: str, target: str, bits: int) -> None:
    source = network([layer(kind, "x w r b", "y")], X, parameters(kind))
    result = quantize(source, DATA, target=target, bits=bits, test_values=True)
    item, values, constants = node(result, kind), infos(result), tensors(result)
    dtype = DType.INT8 if bits == 8 else DType.INT16
    gate = attribute(item, "gate_exponent")
    assert gate == -9
    assert attribute(item, "hidden_size") == HIDDEN
    assert attribute(item, "quant_type") == f"S{bits}"
    assert item.input == ["x", "w", "r", "b"]  # no initial state: the chip starts from zero
    assert [constants[name].data_type for name in "wrb"] == [dtype, dtype, DType.INT16]
    assert [len(constants[name].exponents) for name in "wrb"] == [1, 1, 1]
    assert constants["b"].exponents == (gate,)
    assert constants["w"].dims == (1, GATES[kind] * HIDDEN, INPUTS)
    # The chip writes every state, also those that the network does not use.
    assert len(item.output) == (2 if kind == "GRU" else 3) and all(item.output)
    y, last, *cells = (values[name] for name in item.output)
    assert (y.data_type, last.data_type) == (dtype, dtype)
    assert y.exponents == last.exponents
    assert y.shape == (STEPS, 1, 1, HIDDEN) and last.shape == (1, 1, HIDDEN)
    assert [(cell.data_type, cell.exponents) for cell in cells] == [(DType.INT16, (gate,))] * len(cells)
    assert result.model(arithmetic="reference").test()
    assert worst(result) > (30 if bits == 8 else 45)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_weights_are_read_back_as_they_were(kind: str) -> None:
    source = network([layer(kind, "x w r b", "y")], X, parameters(kind))
    stored = tensors(quantize(source, DATA, target="esp32s3", bits=16))
    for name, array in parameters(kind).items():
        tensor = stored[name]
        np.testing.assert_allclose(
            np.ldexp(tensor.data.astype(float), tensor.exponents[0]), array, atol=2.0 ** tensor.exponents[0]
        )


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_stacked_bidirectional_layers_batch_first(kind: str) -> None:
    """As ``torch.nn.LSTM(num_layers=2, bidirectional=True, batch_first=True)`` is exported; all its results are used."""
    second = parameters(kind, 2 * HIDDEN, 2, 5, "uve")
    constants = {**parameters(kind, directions=2), **second, "s": [STEPS, 1, 2 * HIDDEN], "k": weights(2 * HIDDEN, 4)}
    states = "h1 c1" if kind == "LSTM" else "h1"
    nodes = [
        op("Transpose", "x", "t", perm=[1, 0, 2]),
        layer(kind, "t w r b", f"y1 {states}", direction="bidirectional"),
        op("Transpose", "y1", "y1t", perm=[0, 2, 1, 3]),
        op("Reshape", "y1t s", "z1"),
        layer(kind, "z1 u v e", f"y2 {states.replace('1', '2')}", direction="bidirectional"),
        op("Transpose", "y2", "y2t", perm=[0, 2, 1, 3]),
        op("Reshape", "y2t s", "z2"),
        op("Transpose", "z2", "z3", perm=[1, 0, 2]),
        op("MatMul", "z3 k", "y"),
        op("Concat", "h1 h2", "h", axis=0),
        *([op("Concat", "c1 c2", "c", axis=0)] if kind == "LSTM" else []),
    ]
    outputs = "y h c" if kind == "LSTM" else "y h"
    source = network(nodes, {"x": [1, STEPS, INPUTS]}, constants, outputs=outputs)
    data = [array.transpose(1, 0, 2) for array in DATA]
    for target in ("esp32s3", "esp32p4"):
        result = quantize(source, data, target=target, test_values=True)
        assert result.model(arithmetic="reference").test()
        assert result.model(arithmetic="silicon").test()
        assert worst(result) > 22, target


@pytest.mark.parametrize("exporter", ["constants of zeros", "left out", "sequence lengths"])
def test_initial_states_that_say_nothing(exporter: str) -> None:
    zeros = {"z": np.zeros((1, 1, HIDDEN), np.float32), "n": np.array([STEPS], np.int32)}
    names = {"constants of zeros": "x w r b _ z z", "left out": "x w r b", "sequence lengths": "x w r b n"}[exporter]
    used = {name: array for name, array in zeros.items() if name in names.split()}
    result = quantize(network([layer("LSTM", names, "y")], X, {**parameters("LSTM"), **used}), DATA, target="c")
    assert node(result, "LSTM").input == ["x", "w", "r", "b"]


def test_constant_initial_states() -> None:
    states = {"h": weights(1, 1, HIDDEN, seed=7) * 3, "c": weights(1, 1, HIDDEN, seed=8)}
    source = network([layer("LSTM", "x w r b _ h c", "y q d")], X, {**parameters("LSTM"), **states}, outputs="y d")
    result = quantize(source, DATA, target="esp32s3", test_values=True)
    stored, values = tensors(result), infos(result)
    y, last, _ = (values[name] for name in node(result, "LSTM").output)
    assert stored["h"].exponents == y.exponents == last.exponents
    assert np.abs(states["h"]).max() < 130 * 2.0 ** values["y"].exponents[0]  # the range of the state has room for it
    assert (stored["c"].data_type, stored["c"].exponents) == (DType.INT16, values["d"].exponents)
    assert worst(result) > 25


def test_states_that_come_from_outside_and_go_back() -> None:
    """The state that a program feeds back raw must mean the same on both sides."""
    source = network(
        [layer("LSTM", "x w r b _ h c", "y q d")],
        {"x": [1, 1, INPUTS], "h": [1, 1, HIDDEN], "c": [1, 1, HIDDEN]},
        parameters("LSTM"),
        outputs="y q d",
    )
    rng = np.random.default_rng(4)
    data = [
        {
            "x": x[:1],
            "h": rng.uniform(-1, 1, (1, 1, HIDDEN)).astype(np.float32),
            "c": rng.normal(0, 1, (1, 1, HIDDEN)).astype(np.float32),
        }
        for x in DATA
    ]
    result = quantize(source, data, target="esp32p4")
    values = infos(result)
    for before, after in (("h", "q"), ("c", "d")):
        assert (values[before].data_type, values[before].exponents) == (values[after].data_type, values[after].exponents)
    assert values["c"].data_type is DType.INT16
    assert worst(result) > 25


@pytest.mark.parametrize("behind", ["Relu", "Add", "Concat"])
def test_a_reader_does_not_change_the_state(behind: str) -> None:
    """What a Relu cuts off, and the digits that a sum with large numbers loses, are still fed back."""
    plain = quantize(network([layer("GRU", "x w r b", "y")], X, parameters("GRU")), DATA, target="c")
    nodes = {"Relu": op("Relu", "g", "y"), "Add": op("Add", "g k", "y"), "Concat": op("Concat", "g k", "y", axis=3)}
    constants = {} if behind == "Relu" else {"k": weights(STEPS, 1, 1, HIDDEN) * 50}
    source = network([layer("GRU", "x w r b", "g"), nodes[behind]], X, {**parameters("GRU"), **constants})
    result = quantize(source, DATA, target="c")
    assert infos(result)["g"].exponents == infos(plain)["y"].exponents


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_gates_that_reach_far_get_a_larger_exponent(kind: str) -> None:
    """At -9 sums beyond 64 would wrap around and turn gates over."""
    source = network([layer(kind, "x w r b", "y")], X, parameters(kind))
    data = [array * 100 for array in DATA]
    result = quantize(source, data, target="c")
    assert attribute(node(result, kind), "gate_exponent") > -9
    assert worst(result) > 22


def test_a_cell_that_counts_gets_a_larger_exponent() -> None:
    """Open gates: the cell state grows by nearly one with every step, and must not be cut to 16 bits."""
    steps, rows = 90, 4 * HIDDEN
    bias = np.zeros((1, 2 * rows), np.float32)
    bias[0, :rows] = 8
    constants = {"w": np.zeros((1, rows, INPUTS)), "r": np.zeros((1, rows, HIDDEN)), "b": bias}
    source = network([layer("LSTM", "x w r b", "y h c")], {"x": [steps, 1, INPUTS]}, constants, outputs="c")
    result = quantize(source, [np.ones((steps, 1, INPUTS), np.float32)], target="c")
    assert attribute(node(result, "LSTM"), "gate_exponent") == -7
    assert worst(result) > 20  # the chip's table ends at sigmoid(6.3): every step forgets a little


def test_one_layer_in_16_bits_and_one_in_float() -> None:
    source = network([layer("GRU", "x w r b", "g"), op("Relu", "g", "y")], X, parameters("GRU"))
    for bits, attributes in ((16, ("S16", -9)), (0, ("F32", None))):
        setting = QuantizationSettingFactory.espdl_setting()
        setting.dispatching_table.append("GRU_g", get_target_platform("esp32s3", bits or "none"))
        result = quantize(source, DATA, target="esp32s3", setting=setting)
        item = node(result, "GRU")
        assert (attribute(item, "quant_type"), attribute(item, "gate_exponent")) == attributes
        assert worst(result) > 30


def accuracy(
    conformance: Path, name: str, target: str, bits: int, arithmetic: str, count: int | None = None
) -> tuple[float, float]:
    """(float, integer) top-1 of a task."""
    folder = conformance / "tasks" / name
    with np.load(folder / "calib.npz") as calib, np.load(folder / "test.npz") as test:
        samples, x, labels = calib["x"][:32], test["x"][:count], test["y"][:count]
    result = quantize(folder / "model.onnx", [sample[None] for sample in samples], target=target, bits=bits)
    stored = result.lowered.stored["x"]
    raw = np.concatenate([to_file(sample[None], stored, result.graph.chip) for sample in x])
    model: Model = result.model(arithmetic=arithmetic)
    (got,) = model.run_many({"x": raw}).values()
    truth = json.loads((folder / "meta.json").read_text())["float_top1"]
    return truth, float((got.reshape(len(x), -1).argmax(axis=1) == labels).mean())


def test_a_task_loses_at_most_a_point(conformance: Path) -> None:
    truth, ours = accuracy(conformance, "vowels_gru", "esp32s3", 8, "silicon")
    assert ours >= truth - 0.01


@pytest.mark.slow
@pytest.mark.parametrize("arithmetic", ["reference", "silicon"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("name", ["mnist1d_gru", "vowels_gru"])
def test_every_task_loses_at_most_a_point(conformance: Path, name: str, target: str, bits: int, arithmetic: str) -> None:
    truth, ours = accuracy(conformance, name, target, bits, arithmetic)
    assert ours >= truth - 0.01


def test_the_setting_is_not_changed() -> None:
    setting: QuantizationSetting = QuantizationSettingFactory.espdl_setting()
    before = setting.to_dict()
    quantize(network([layer("GRU", "x w r b", "y")], X, parameters("GRU")), DATA, target="c", setting=setting)
    assert setting.to_dict() == before


PUBLISHED = (
    ("gru_net", "s8", 8),
    ("gru_net", "s16", 16),
    ("lstm_net", "s8", 8),
    ("lstm_net", "s16", 16),
    ("lstm_net", "w8a16", "w8a16"),
)


@pytest.mark.parametrize(("name", "kind", "bits"), PUBLISHED)
@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
def test_the_node_is_that_of_published_files(conformance: Path, name: str, target: str, kind: str, bits: int | str) -> None:
    """Attributes, outputs and the bytes of W, R and B equal those of a file that ESP-DL's C++ code runs."""
    file = conformance / "ops" / target / "Network" / f"{name}_{kind}.espdl"
    theirs = read_model(file.read_bytes()[16:]).graph
    with np.load(conformance / "networks" / name / f"{name}.npz") as archive:
        samples = calibration({key: archive[key] for key in archive.files})
    ours = quantize(conformance / "networks" / name / f"{name}_op18.onnx", samples, target=target, bits=bits).record.graph
    a, b = (next(item for item in graph.node if item.op_type in GATES) for graph in (ours, theirs))
    assert [(entry.name, entry.value) for entry in a.attribute] == [(entry.name, entry.value) for entry in b.attribute]
    assert a.output == b.output
    assert a.input[1:] == b.input[1:4]  # theirs have initial states of zeros, too
    for key in a.input[1:]:
        x, y = (next(tensor for tensor in graph.initializer if tensor.name == key) for graph in (ours, theirs))
        assert (x.data_type, x.dims, x.doc_string, x.exponents) == (y.data_type, y.dims, y.doc_string, y.exponents)
        np.testing.assert_array_equal(x.data, y.data)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize(
    "attributes",
    [{"direction": "reverse"}, {"layout": 1}, {"layout": 1, "direction": "reverse"}],
    ids=["reverse", "turned", "both"],
)
def test_layers_the_other_way_round_become_ones_that_the_chip_has(attributes: dict[str, Any], kind: str, bits: int) -> None:
    """ONNX Runtime does not run layout 1: what is right comes from the same layer with the sequence first."""
    turned = "layout" in attributes
    states = ["h"] if kind == "GRU" else ["h", "c"]
    initial = {name: weights(1, 1, HIDDEN, seed=9 + i) * 0.5 for i, name in enumerate(states)}
    names = ["y", *(f"y_{name}" for name in states)]

    def source(shape: list[int], **options: Any) -> Any:
        nodes = [layer(kind, f"x w r b _ {' '.join(states)}", " ".join(names), **options)]
        return network(nodes, {"x": shape}, {**parameters(kind), **initial}, outputs=" ".join(names))

    shape = [1, STEPS, INPUTS] if turned else [STEPS, 1, INPUTS]
    data = [array.reshape(shape) for array in DATA]
    result = quantize(source(shape, **attributes), data, target="esp32s3", bits=bits, test_values=True)
    assert attribute(node(result, kind), "direction") in (None, "forward") and not attribute(node(result, kind), "layout")
    reversals = [item for item in result.record.graph.node if item.op_type == "ReverseSequence"]
    assert len(reversals) == (2 if "direction" in attributes else 0)
    plain = load_network(source([STEPS, 1, INPUTS], **{key: value for key, value in attributes.items() if key != "layout"}))
    exact, found = FloatRun(plain, names).run({"x": DATA[0]}), result.run({"x": data[0]})
    for name, wanted in exact.items():
        if turned:
            wanted = wanted.transpose((2, 0, 1, 3) if name == "y" else (1, 0, 2))
        np.testing.assert_allclose(found[name], wanted, atol=0.05 if bits == 8 else 0.01)
    assert result.model(arithmetic="reference").test()
