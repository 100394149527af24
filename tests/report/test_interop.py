"""The storage rules: Espressif's files and ours keep them, and every rule notices a file that breaks it."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from espdl.api import espdl_quantize_onnx
from espdl.dtypes import DType
from espdl.fbs import records, wrap_model, write_model
from espdl.report.interop import RULES, check_file
from tests.models import small_file, small_records


def test_espressifs_own_files_keep_the_rules(conformance: Path) -> None:
    broken = {
        (Path(report.file).name, finding.rule)
        for path in sorted((conformance / "models").rglob("*.espdl"))
        for report in check_file(path)
        for finding in report.findings
    }
    assert broken == {("coco_pose_yolo11n_pose_s8_v2.espdl", "padding")}


@pytest.mark.parametrize("target", ["c", "esp32s3", "esp32p4"])
@pytest.mark.parametrize("network", ["small_cnn", "gru_net", "tcn_stream"])
def test_our_files_keep_the_rules(conformance: Path, tmp_path: Path, target: str, network: str) -> None:
    folder = conformance / "networks" / network
    if not folder.is_dir():
        pytest.skip(f"there is no network {network}")
    arrays = np.load(next(folder.glob("*.npz")))
    feeds = [arrays[name] for name in arrays.files if name.startswith("calib") and name.endswith("in0")][:4]
    for quant_type in ("w8a8", "w16a16"):
        path = tmp_path / f"{quant_type}.espdl"
        espdl_quantize_onnx(
            next(folder.glob("*_op18.onnx")),
            path,
            feeds,
            len(feeds),
            [list(feeds[0].shape)],
            target=target,
            quant_type=quant_type,
            export_test_values=True,
            error_report=False,
        )
        (report,) = check_file(path)
        assert not report.findings


def edited(change: Callable[[records.Model], None], target: str = "esp32s3", **options: bool) -> bytes:
    model = small_records(target, metadata=True, **options)
    change(model)
    return wrap_model(write_model(model))


def set_attribute(model: records.Model, node: int, name: str, value: records.AttributeValue) -> None:
    attributes = model.graph.node[node].attribute
    attributes[:] = [entry for entry in attributes if entry.name != name] + [records.Attribute(name, value)]


def replace_constant(model: records.Model, index: int, **changes: object) -> None:
    model.graph.initializer[index] = replace(model.graph.initializer[index], **changes)  # type: ignore[arg-type]


def test_value(model: records.Model) -> None:
    model.graph.test_inputs_value = [records.Tensor("x", (1, 6, 6, 3), DType.INT8, np.zeros((1, 6, 6, 3), np.int8), (-6,))]


test_value.__test__ = False  # type: ignore[attr-defined]


def table_of_four(model: records.Model) -> None:
    model.graph.initializer.append(records.Tensor("t", (4,), DType.INT8, np.zeros(4, np.int8), (-4,)))
    set_attribute(model, 1, "lut", "t")


CHANGES: dict[str, tuple[Callable[[records.Model], None], str]] = {
    "attributes": (
        lambda model: model.graph.node[0].attribute.append(records.Attribute("group", 1)),
        "Conv '/conv': attribute 'group' is there twice",
    ),
    "operators": (lambda model: setattr(model.graph.node[1], "op_type", "Erf"), "ESP-DL has no such operator: only espdl runs"),
    "quant_type": (lambda model: set_attribute(model, 1, "quant_type", "S4"), "Add '/add': 'S4' is unknown"),
    "activation": (lambda model: set_attribute(model, 0, "activation", "Clip"), "Conv '/conv': activation 'Clip'"),
    "shapes": (
        lambda model: model.graph.value_info.__setitem__(1, replace(model.graph.value_info[1], shape=None)),
        "variable 'c': its value_info lacks the shape",
    ),
    "exponents": (lambda model: replace_constant(model, 0, exponents=(-6,) * 3), "3 exponents, and it is no weight of 3"),
    "weights": (
        lambda model: replace_constant(model, 0, doc_string="layout ==> NHWC"),
        r"weight 'conv.weight' is packed NHWC, and esp32s3 reads \(N/16\)HWC16_UNALIGNED",
    ),
    "bias": (
        lambda model: replace_constant(model, 1, exponents=(-12,)),
        r"exponents \[-12\], and input's plus weight's are \[-13\]",
    ),
    "shift": (
        lambda model: [
            setattr(value, "exponents", (-15,)) for value in (*model.graph.value_info, *model.graph.output) if value.name == "c"
        ],
        "the sum is shifted to the left by 2",
    ),
    "tables": (table_of_four, "Add '/add': its table has 4 entries, not 256"),
    "test values": (test_value, r"test input 'x': its exponent is \[-6\], the variable's \[-7\]"),
}


@pytest.mark.parametrize("rule", CHANGES)
def test_a_rule_notices_what_breaks_it(tmp_path: Path, rule: str) -> None:
    change, message = CHANGES[rule]
    path = tmp_path / "broken.espdl"
    path.write_bytes(edited(change))
    (report,) = check_file(path)
    found = {finding.rule: finding.places for finding in report.findings}
    assert rule in found
    assert re.search(message, "\n".join(found[rule]))
    assert report.passes == (rule == "shift")


def broken_bytes(rule: str) -> bytes:
    whole = small_file("esp32s3", metadata=True)
    weight = small_records("esp32s3").graph.initializer[0].data.tobytes()
    data = bytearray(whole)
    if rule == "container":
        data[12] = 1
    elif rule == "payload":
        return wrap_model(whole[16:], format="EDL1")
    elif rule == "padding":
        data[whole.index(weight) + len(weight)] = 7
    elif rule == "tensor data":
        dims = whole.index(struct.pack("<4q", 3, 3, 3, 20))
        data[dims : dims + 8] = struct.pack("<q", 1)
    return bytes(data)


@pytest.mark.parametrize("rule", ["container", "payload", "padding", "tensor data"])
def test_a_rule_about_bytes_notices_what_breaks_it(tmp_path: Path, rule: str) -> None:
    path = tmp_path / "broken.espdl"
    path.write_bytes(broken_bytes(rule))
    (report,) = check_file(path)
    assert rule in {finding.rule for finding in report.findings}
    assert report.passes == (rule == "padding")


def test_every_rule_has_a_test() -> None:
    assert {rule.name for rule in RULES} == {*CHANGES, "container", "payload", "padding", "tensor data"}
