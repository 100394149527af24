"""Real exports of PyTorch networks: each file passes its own test, and is as close to float as ESP-PPQ's or closer."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from espdl.quantize.api import QuantizedModel, quantize
from espdl.quantize.setting import QuantizationSettingFactory

NETWORKS = (
    "attention_block",
    "audio_conv1d",
    "autoencoder",
    "gates",
    "gru_net",
    "gru_state",
    "lstm_net",
    "lstm_state",
    "mobilenetv2_stack",
    "sin_mlp",
    "small_cnn",
    "tcn_stream",
    "yolo_like",
)
TARGETS = ("c", "esp32s3", "esp32p4")
EXPORTS = ("op18", pytest.param("op13", marks=pytest.mark.slow), pytest.param("dynamo18", marks=pytest.mark.slow))
MARGIN = 0.5


@cache
def reference_snr(networks: Path) -> dict[tuple[str, str], list[float]]:
    """ESP-PPQ's SNR in dB on the test input, one figure per output."""
    with (networks / "INDEX.csv").open() as file:
        return {
            (row["network"], row["target"]): [float(text) for text in row["esp_ppq_int8_snr_db_per_output"].split()]
            for row in csv.DictReader(file)
        }


@cache
def arrays(networks: Path, name: str) -> dict[str, Any]:
    with np.load(networks / name / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def columns(data: dict[str, Any], pattern: str) -> list[Any]:
    return [data[key] for key in sorted(data) if re.fullmatch(pattern, key)]


def calibration(data: dict[str, Any]) -> list[list[Any]]:
    count = len({key.split("_")[0] for key in data if key.startswith("calib")})
    return [columns(data, rf"calib{index}_in\d+") for index in range(count)]


def quantized(networks: Path, name: str, export: str, target: str, **options: Any) -> QuantizedModel:
    samples = calibration(arrays(networks, name))
    return quantize(networks / name / f"{name}_{export}.onnx", samples, target=target, test_values=True, **options)


@pytest.mark.parametrize("export", EXPORTS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_as_close_to_float_as_with_esp_ppq(
    conformance: Path, name: str, target: str, export: str, record_property: Callable[[str, object], None]
) -> None:
    """With ESP-PPQ's settings on its test input, and with the our own on that and all other inputs that there are.

    One input is a matter of luck: the sine network has a single number as input and as output.
    """
    networks = conformance / "networks"
    data, known = arrays(networks, name), reference_snr(networks)[name, target]
    same = quantized(networks, name, export, target, setting=QuantizationSettingFactory.esp_ppq_setting())
    ours = quantized(networks, name, export, target, setting=QuantizationSettingFactory.espdl_setting())
    figures = []
    for result in (same, ours):
        assert result.model(arithmetic="reference").test()
        network = result.graph.model.graph
        inputs, outputs = ([value.name for value in values] for values in (network.inputs, network.outputs))
        sample = dict(zip(inputs, columns(data, r"test_in\d+"), strict=True))
        expected = dict(zip(outputs, columns(data, r"float_out\d+"), strict=True))
        others = [dict(zip(inputs, batch, strict=True)) for batch in calibration(data)]
        figures += [list(result.snr([sample], [expected]).values()), list(result.snr([sample, *others]).values())]
    texts = ["/".join(f"{value:.1f}" for value in values) for values in (known, *figures)]
    record_property(
        "figure",
        f"{name:18} {target:8} {export:9} test input: ESP-PPQ {texts[0]} dB, its settings {texts[1]}, our own {texts[3]}; "
        f"all inputs: its settings {texts[2]}, our own {texts[4]}",
    )
    assert all(got >= wanted - MARGIN for got, wanted in zip(figures[0], known, strict=True))
    assert all(got >= wanted - MARGIN for got, wanted in zip(figures[3], figures[1], strict=True))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "yolo_like"])
def test_16_bits_are_close_to_float(conformance: Path, name: str, target: str) -> None:
    result = quantized(conformance / "networks", name, "op18", target, bits=16)
    assert result.model(arithmetic="reference").test()
    least = 49 if "gru" in name or "lstm" in name else 58  # gates are steps of 2**-9 at 16 bits, too
    assert all(decibels > least for decibels in result.snr(result.samples).values())


@pytest.mark.parametrize("name", ["small_cnn", "attention_block"])
def test_the_same_network_gives_the_same_bytes(conformance: Path, name: str) -> None:
    first, second = (quantized(conformance / "networks", name, "op18", "esp32p4") for _ in range(2))
    assert first.data == second.data


@pytest.mark.parametrize("name", NETWORKS)
def test_all_three_exports_of_a_network_become_the_same_operators(conformance: Path, name: str) -> None:
    """However PyTorch writes it down, a network is computed by the same multiply-accumulate operators."""
    found = []
    for export in ("op13", "op18", "dynamo18"):
        nodes = quantized(conformance / "networks", name, export, "esp32s3").record.graph.node
        found.append(
            [node.op_type for node in nodes if node.op_type in ("Conv", "Gemm", "MatMul", "Swish", "Gelu", "LayerNormalization")]
        )
    assert found[0] == found[1] == found[2]
