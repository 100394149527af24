"""Lint: every rule finds what it is for, and says nothing of a file that has no such thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espdl.dl import Model
from espdl.dtypes import DType
from espdl.estimate.latency import estimate_latency
from espdl.fbs import records, wrap_model, write_model
from espdl.report.lint import RULES, Finding, Severity, lint_file
from tests.models import node_file, small_file, small_records, weight

S8 = np.dtype(np.int8)


def lint(tmp_path: Path, data: bytes, **options: object) -> list[Finding]:
    path = tmp_path / "net.espdl"
    path.write_bytes(data)
    return lint_file(path, **options)  # type: ignore[arg-type]


def edited(change: Callable[[records.Model], None], target: str = "esp32s3") -> bytes:
    model = small_records(target, metadata=True)
    change(model)
    return wrap_model(write_model(model))


def wide_gemm(bias: int) -> bytes:
    """16 outputs of 8 inputs, every weight 100, input behind a Relu; the bias in channel 5."""
    ohwi = np.full((16, 1, 1, 8), 100)
    values = np.zeros(16, np.int32)
    values[5] = bias
    fc = weight("w", ohwi, "esp32s3", (-7,), (1, 1, 8, 16))
    b = records.Tensor("b", (16,), DType.INT32, values, (-11,))
    s8 = records.Attribute("quant_type", "S8")
    x, r, y = (records.ValueInfo(n, DType.INT8, s, (e,)) for n, s, e in (("x", (1, 8), -4), ("r", (1, 8), -4), ("y", (1, 16), 2)))
    nodes = [
        records.Node("Relu", "/relu", ["x"], ["r"], [s8]),
        records.Node("Gemm", "/fc", ["r", "w", "b"], ["y"], [records.Attribute("activation", "Linear"), s8]),
    ]
    graph = records.Graph("wide", nodes, [fc, b], [x], [y], [x, r, y])
    return wrap_model(write_model(records.Model(graph, metadata_props={"target": "esp32s3"})))


@pytest.mark.parametrize(("bias", "reported"), [(524287 - 8 * 100 * 127, False), (524288 - 8 * 100 * 127, True)])
def test_the_proof_is_exact_to_one(tmp_path: Path, bias: int, reported: bool) -> None:
    found = [f for f in lint(tmp_path, wide_gemm(bias)) if f.rule == "accumulator"]
    assert bool(found) == reported
    if reported:
        assert (
            "1 of 16 output channels may leave the 20-bit accumulator: channel 5 can reach 524288 with inputs of 0 to 127"
            in found[0].text
        )


def test_sums_that_left_their_lane_on_data_are_errors(tmp_path: Path) -> None:
    data = {"x": np.full((2, 8), 127, np.int8)}
    (finding,) = [f for f in lint(tmp_path, wide_gemm(524_287), inputs=data) if f.rule == "accumulator"]
    assert finding.severity is Severity.ERROR
    assert "2 sums did on the data" in finding.text
    calm = {"x": np.zeros((2, 8), np.int8)}
    (finding,) = [f for f in lint(tmp_path, wide_gemm(524_287), inputs=calm) if f.rule == "accumulator"]
    assert finding.severity is Severity.HINT
    assert "none did on the data" in finding.text


@settings(max_examples=25, deadline=None)
@given(bias=st.integers(0, 524_287), pixels=st.lists(st.integers(-128, 127), min_size=8, max_size=8))
def test_where_lint_is_silent_no_sum_leaves_its_lane(
    tmp_path_factory: pytest.TempPathFactory, bias: int, pixels: list[int]
) -> None:
    path = tmp_path_factory.mktemp("lint") / "net.espdl"
    path.write_bytes(wide_gemm(bias))
    if any(finding.rule == "accumulator" for finding in lint_file(path)):
        return
    x = {"x": np.array([pixels], np.int8)}
    silicon, reference = (Model(path, arithmetic=arithmetic).run_arrays(x)["y"] for arithmetic in ("silicon", "reference"))
    assert np.array_equal(silicon, reference)


def left_shift(model: records.Model) -> None:
    for value in (*model.graph.value_info, *model.graph.output):
        if value.name == "c":
            value.exponents = (-15,)


def dead(model: records.Model) -> None:
    s8 = records.Attribute("quant_type", "S8")
    model.graph.node.append(records.Node("Relu", "/dead", ["c"], ["nowhere"], [s8]))
    model.graph.value_info.append(records.ValueInfo("nowhere", DType.INT8, (1, 6, 6, 20), (-4,)))


def chain(model: records.Model) -> None:
    s8 = records.Attribute("quant_type", "S8")
    for before, after, exponent in (("y", "y1", -2), ("y1", "y2", -1)):
        model.graph.node.append(records.Node("RequantizeLinear", f"/{after}", [before], [after], [s8]))
        model.graph.value_info.append(records.ValueInfo(after, DType.INT8, (1, 5), (exponent,)))
    model.graph.output[0] = replace(model.graph.output[0], name="y2", exponents=(-1,))


def few_outputs(model: records.Model) -> None:
    """A classifier too small to matter."""
    del model.graph.node[-1], model.graph.initializer[2]
    model.graph.output[0] = next(value for value in model.graph.value_info if value.name == "f")
    model.graph.value_info = [value for value in model.graph.value_info if value.name != "y"]


FILES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "left-shift": (lambda: edited(left_shift), "/conv", "shifted to the left by 2"),
    "dead-node": (lambda: edited(dead), "/dead", "nothing reads what Relu gives"),
    "requantize-chain": (lambda: edited(chain), "/y2", "it requantizes what '/y1' has just requantized"),
    "firmware": (
        lambda: node_file("Erf", [((8,), S8, -4)], [((8,), S8, -4)], quant_type="S8"),
        "/node",
        "ESP-DL has no such operator",
    ),
    "table-saturates": (
        lambda: node_file(
            "LUT", [((8,), S8, -4)], [((8,), S8, -4)], lut=np.repeat([3, 127], 128).astype(np.int8), quant_type="S8"
        ),
        "/node",
        "50% of the inputs give the largest value, 127",
    ),
    "float-node": (
        lambda: node_file("Relu", [((8,), np.float32, 0)], [((8,), np.float32, 0)], quant_type="F32"),
        "/node",
        "Relu runs in float32",
    ),
    "unaligned-channels": (lambda: edited(few_outputs), "/conv", "4 of 20 output channels are computed one at a time"),
    "psram": (lambda: small_file("esp32s3"), "/conv", "of activations lie in PSRAM"),
}


@pytest.mark.parametrize("rule", FILES)
def test_a_rule_finds_what_it_is_for(tmp_path: Path, rule: str) -> None:
    make, node, text = FILES[rule]
    found = [finding for finding in lint(tmp_path, make(), target="esp32s3") if finding.rule == rule]
    assert [finding.node for finding in found] == [node]
    assert text in found[0].text
    assert found[0].cost
    assert found[0].remedy


def test_bits_that_data_never_use(tmp_path: Path) -> None:
    data = node_file("Relu", [((8,), S8, -4)], [((8,), S8, -4)], quant_type="S8")
    (finding,) = [
        f for f in lint(tmp_path, data, target="c", inputs={"x0": np.full((1, 8), 15, np.int8)}) if f.rule == "wasted-bits"
    ]
    assert "'y0' reaches 15 of 127 on the data: 3 bits are never used" in finding.text
    assert not [
        f for f in lint(tmp_path, data, target="c", inputs={"x0": np.full((1, 8), 64, np.int8)}) if f.rule == "wasted-bits"
    ]


def test_every_rule_is_tested_and_named_once() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(names) == {*FILES, "accumulator", "wasted-bits", "memory-hazard", "quirk"}


def test_the_gravest_come_first(tmp_path: Path) -> None:
    severities = [finding.severity for finding in lint(tmp_path, edited(left_shift))]
    assert severities == sorted(severities, reverse=True)
    assert severities[0] is Severity.ERROR


def test_real_files(conformance: Path) -> None:
    found = lint_file(conformance / "models" / "esp32s3" / "imagenet_cls_mobilenetv2_s8_v1.espdl", "esp32s3")
    assert {finding.rule for finding in found} == {"accumulator", "psram", "unaligned-channels"}
    assert "channel 812 can reach 4633315" in next(f.text for f in found if "classifier" in f.node)


def test_slow_kernels_cost_their_share_of_the_latency(conformance: Path) -> None:
    path = conformance / "models" / "esp32s3" / "imagenet_cls_mobilenetv2_s8_v1.espdl"
    shares = {layer.name: layer.share for layer in estimate_latency(Model(path, target="esp32s3")).layers}
    slow = [finding for finding in lint_file(path, "esp32s3") if finding.rule == "unaligned-channels"]
    for finding in slow:
        assert finding.cost == f"a slower kernel, in {shares[finding.node]:.1%} of the estimated latency"
        assert shares[finding.node] >= 0.005
    assert slow


def test_a_file_without_an_estimate_is_linted(tmp_path: Path) -> None:
    f32 = np.float32
    data = node_file("MatMul", [((2, 4), f32, 0), ((4, 3), f32, 0)], [((2, 3), f32, 0)], quant_type="F32")
    (finding,) = [f for f in lint(tmp_path, data, target="esp32s3") if f.rule == "float-node"]
    assert finding.cost == "several times slower than on integers, and four times the memory"


def test_quirks_are_told(conformance: Path) -> None:
    found = lint_file(conformance / "ops" / "esp32s3" / "Div" / "div_ishap_2_3_4_5_scalar_s8.espdl")
    (finding,) = [finding for finding in found if finding.rule == "quirk"]
    assert finding.severity is Severity.HINT
    assert "ONNX says" in finding.text
