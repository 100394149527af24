"""Quirks: a run gives what ESP-DL gives; with strict_onnx, what ONNX says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from espdl.chips import CHIPS, get_chip
from espdl.dl import Model
from espdl.dl.module import MODULE_TYPES
from espdl.dl.quirks import QUIRKS, Default, Strict, quirks_of
from espdl.errors import EspdlError
from tests.dl.quirk_cases import CASES, F32, GRU, RAMP, S8, S16, Case, f32, s8
from tests.models import node_file


def load(case: Case, **options: Any) -> Model:
    return Model(node_file(*case.node, **case.attributes), target=case.target, arithmetic=case.arithmetic, **options)


def results(model: Model, case: Case) -> list[np.ndarray]:
    for feeds in case.feeds:
        found = model.run_arrays(feeds)
    return [found[name] for name in sorted(found)]


def check(found: list[np.ndarray], wanted: list[Any], tolerance: float) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
        assert one.shape == np.shape(other)


@pytest.mark.parametrize("backend", ["numpy", "native"])
@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{case.quirk}" for i, case in enumerate(CASES)])
def test_default_and_strict(case: Case, backend: str) -> None:
    row = next(quirk for quirk in QUIRKS if quirk.id == case.quirk)
    if isinstance(case.onnx, str):
        with pytest.raises(EspdlError, match=case.onnx):
            load(case, strict_onnx=True, backend=backend)
    else:
        strict = load(case, strict_onnx=True, backend=backend)
        check(results(strict, case), case.onnx, case.tolerance)
        assert case.quirk not in [found.quirk.id for found in strict.quirks()]
        check(results(strict.clone(), case), case.onnx, case.tolerance)
    if case.default == "differs":
        with pytest.raises(AssertionError):
            check(results(load(case, backend=backend), case), case.onnx, case.tolerance)
    elif isinstance(case.default, str):
        assert row.default is Default.REFUSED or row.id == "split-count-as-length"
        with pytest.raises(EspdlError, match=case.default):
            load(case, backend=backend)
        return
    else:
        model = load(case, backend=backend)
        check(results(model, case), case.default, case.tolerance)
    model = load(case, backend=backend)
    assert case.quirk in [found.quirk.id for found in model.quirks()]
    assert any(case.quirk in str(found) and "'/node'" in str(found) for found in model.quirks())


def conv_file(activation: str = "Linear", pads: tuple[int, int] = (0, 0)) -> bytes:
    kernel = s8(1, 2).reshape(1, 1, 2)
    attributes = {"activation": activation, "pads": list(pads), "strides": [1], "group": 1, "quant_type": "S8"}
    shape = (1, 3 + sum(pads), 2)
    return node_file("Conv", [((1, 3, 1), S8, 0), kernel], [(shape, S8, 0)], **attributes)


def test_what_the_file_does_not_hold_stays_as_on_the_chip() -> None:
    for strict in (False, True):
        model = Model(conv_file("LeakyRelu"), target="c", strict_onnx=strict)
        assert model.run_arrays({"x0": s8([[-3], [0], [4]])})["y0"].tolist() == [[[-3, -6], [0, 0], [4, 8]]]
        assert [found.quirk.id for found in model.quirks()] == ["fused-activation-dropped"]


def test_pixels_that_nobody_knows_are_taken_as_zeros_with_a_warning() -> None:
    model = Model(conv_file(pads=(1, 1)), target="c")
    assert model.run_arrays({"x0": s8([[-3], [0], [4]])})["y0"][0, :, 0].tolist() == [0, -3, 0, 4, 0]
    assert [found.quirk.id for found in model.quirks()] == ["conv-pads-in-c"]
    assert "reads other pixels" in model.warnings[0]
    assert Model(conv_file(pads=(1, 1)), target="c", strict_onnx=True).quirks() == []


def lut_file() -> bytes:
    table = np.arange(-128, 129, dtype=np.int16) * 3
    return node_file("LUT", [((3,), S16, -8)], [((3,), S16, -8)], lut=table, quant_type="S16")


def test_a_table_with_a_step_is_read_by_its_nearest_entry_or_by_lines() -> None:
    x = np.array([0, 100, 200], np.int16)
    model = Model(lut_file(), target="esp32s3")
    assert model.run_arrays({"x0": x})["y0"].tolist() == [0, 0, 3]
    assert [found.quirk.id for found in model.quirks()] == ["table-nearest-entry"]
    lines = Model(lut_file(), target="esp32s3", int16_lut="interpolating")
    assert lines.run_arrays({"x0": x})["y0"].tolist() == [0, 1, 2]
    assert lines.quirks() == []


def test_ignored_parts_of_recurrent_operators_and_pools() -> None:
    shape = [((5, 1, 1, 3), F32, 0), ((1, 1, 3), F32, 0)]
    data = node_file("GRU", [((5, 1, 4), F32, 0), *GRU], shape, linear_before_reset=1, hidden_size=3, clip=1.0)
    assert [found.quirk.id for found in Model(data, target="c", strict_onnx=True).quirks()] == ["recurrent-parts-ignored"]
    data = node_file("MaxPool", [((1, 5, 1), S8, 0)], [((1, 2, 1), S8, 0)], kernel_shape=[2], strides=[2], ceil_mode=1)
    assert [found.quirk.id for found in Model(data, target="c", strict_onnx=True).quirks()] == ["pool-attributes-unread"]


def test_every_quirk_of_the_table_is_tried() -> None:
    elsewhere = {
        "fused-activation-dropped",
        "conv-pads-in-c",
        "table-nearest-entry",
        "recurrent-parts-ignored",
        "pool-attributes-unread",
    }
    assert {case.quirk for case in CASES} | elsewhere == {quirk.id for quirk in QUIRKS}
    assert len({quirk.id for quirk in QUIRKS}) == len(QUIRKS)
    for quirk in QUIRKS:
        assert set(quirk.op_types) <= MODULE_TYPES.keys()
        assert quirk.applies and quirk.chip and quirk.onnx and quirk.section


def test_quirks_of_an_operator() -> None:
    assert [quirk.id for quirk in quirks_of("Mod")] == ["mod-sign-of-dividend"]
    assert quirks_of("Sigmoid") == () == quirks_of("NoSuchOperator")
    assert "conv-pads-in-c" in [quirk.id for quirk in quirks_of("Conv", "esp32c3")]
    assert "conv-pads-in-c" not in [quirk.id for quirk in quirks_of("Conv", get_chip("esp32p4"))]
    assert "multiplier-overflow" not in [quirk.id for quirk in quirks_of("RequantizeLinear", "c")]


@pytest.mark.parametrize("chip", sorted(CHIPS))
def test_a_factor_that_fits_is_not_lost(chip: str) -> None:
    data = node_file("RequantizeLinear", [((60,), S8, 0)], [((60,), S8, -6)])
    model = Model(data, target=chip)
    assert model.quirks() == []
    np.testing.assert_array_equal(model.run_arrays({"x0": RAMP})["y0"], np.clip(RAMP.astype(int) * 64, -128, 127))


def test_few_elements_and_reference_arithmetic_lose_no_factor() -> None:
    few = node_file("RequantizeLinear", [((50,), S8, 0)], [((50,), S8, -8)])
    many = node_file("RequantizeLinear", [((60,), S8, 0)], [((60,), S8, -8)])
    for model in (Model(few, target="esp32s3"), Model(many, target="esp32s3", arithmetic="reference")):
        assert model.quirks() == []
        count = model.get_input().size
        assert model.run_arrays({"x0": np.full(count, 3, np.int8)})["y0"].tolist() == [127] * count


def test_modes_that_only_onnx_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def resize(**attributes: Any) -> Callable[[], Model]:
        data = node_file(
            "Resize", [((1, 2, 3, 4), S8, 0), None, f32(1, 1, 2, 2)], [((1, 4, 6, 4), S8, 0)], mode="nearest", **attributes
        )
        return lambda: Model(data, target="c", strict_onnx=True)

    with pytest.raises(EspdlError, match="tf_crop_and_resize"):
        resize(coordinate_transformation_mode="tf_crop_and_resize")()
    with pytest.raises(EspdlError, match="nearest_mode 'middle'"):
        resize(nearest_mode="middle")()
    assert resize(coordinate_transformation_mode="half_pixel_symmetric")().quirks() == []


def test_strict_is_none_where_the_file_lacks_what_it_takes() -> None:
    none = {quirk.id for quirk in QUIRKS if quirk.strict is Strict.NONE}
    assert none == {
        "fused-activation-dropped",
        "table-nearest-entry",
        "pool-attributes-unread",
        "recurrent-parts-ignored",
    }
