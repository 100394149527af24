"""``Model``: loading, feeding, running in parts, test values, the chip of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl.dl import Model
from espdl.dl.module import MODULE_TYPES
from espdl.dtypes import DType, Int16Lut, ModelLocation
from espdl.errors import EspdlError
from espdl.fbs import FbsLoader, pack, records, wrap_model, write_model
from espdl.tensor import TensorBase
from tests.models import INPUT_SHAPE, small_file

TARGETS = ["c", "esp32s3", "esp32p4"]


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(11).integers(-128, 128, INPUT_SHAPE, dtype=np.int8)


def test_every_way_of_running_gives_the_same_bits(target: str, x: np.ndarray) -> None:
    model = Model(small_file(target), target=target)
    expected = model.run_arrays({"x": x})["y"]
    model.run(x)
    np.testing.assert_array_equal(model.get_output().data, expected)
    model.run({"x": TensorBase(x.shape, x, -7, DType.INT8)})
    np.testing.assert_array_equal(model.get_output("y").data, expected)
    model.run(x.astype(np.float32) * 2.0**-7)
    np.testing.assert_array_equal(model.get_output().data, expected)
    model.get_input().assign(TensorBase(x.shape, x, -7, DType.INT8))
    for stage in range(3):
        model.run(stages=3, stage=stage)
    np.testing.assert_array_equal(model.get_output().data, expected)


def test_intermediate_tensors_are_taken_before_their_memory_is_reused(target: str, x: np.ndarray) -> None:
    model = Model(small_file(target), target=target)
    arrays = model.run_arrays({"x": x}, names=model.variable_names)
    assert list(arrays["c"].shape) == [1, 6, 6, 20]
    np.testing.assert_array_equal(arrays["a"], np.clip(arrays["c"].astype(int) * 2, -128, 127))
    into = TensorBase([1, 6, 6, 20], None, -4, DType.FLOAT)
    model.run(x, outputs={"c": into})
    np.testing.assert_array_equal(into.data, arrays["c"] * np.float32(2.0**-4))


def test_silicon_and_reference_agree_where_no_lane_overflows(target: str, x: np.ndarray) -> None:
    silicon, reference = (Model(small_file(target), target=target, arithmetic=a) for a in ("silicon", "reference"))
    np.testing.assert_array_equal(silicon.run_arrays({"x": x // 4})["y"], reference.run_arrays({"x": x // 4})["y"])


def test_test_values_pass_and_a_changed_one_is_named(target: str) -> None:
    data = small_file(target)
    model = Model(data, target=target, arithmetic="reference")
    assert model.test().passed
    model.fbs_model.record.graph.test_outputs_value[0].data = model.get_output().data + np.int8(1)
    model.fbs_model.load_map()
    result = model.test()
    assert not result
    assert "'y'" in str(result) and "[0, 0]" in str(result)


def test_file_without_test_values_says_so() -> None:
    with pytest.raises(EspdlError, match="no test values"):
        Model(small_file("c", test_values=False)).test()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((1, 3, 6, 6), np.float32), "channels last"),
        (np.zeros((1, 6, 6, 4), np.float32), "shape"),
        (np.zeros(INPUT_SHAPE, np.int16), "INT8"),
        ({"z": np.zeros(INPUT_SHAPE, np.int8)}, "the model's are x"),
    ],
)
def test_wrong_inputs_are_refused_in_plain_words(value: object, message: str) -> None:
    with pytest.raises(EspdlError, match=message):
        Model(small_file("c")).run(value)


def test_chip_comes_from_the_argument_the_metadata_or_the_weights() -> None:
    assert Model(small_file("esp32s3"), target="esp32s3").target_source == "given"
    assert "metadata" in Model(small_file("esp32s3", metadata=True)).target_source
    model = Model(small_file("esp32p4", per_channel=True))
    assert model.chip.name == "esp32p4" and "per channel" in model.target_source
    assert Model(small_file("c")).chip.name == "c"
    with pytest.raises(EspdlError, match="does not tell its chip"):
        Model(small_file("esp32s3"))


@pytest.mark.parametrize(
    ("file", "target", "reason"),
    [
        (small_file("esp32s3", test_values=False), "esp32", "packed for"),
        (small_file("c", test_values=False), "esp32p4", "packed for"),
        (small_file("esp32p4", test_values=False, per_channel=True), "esp32s3", "one exponent per channel"),
        (small_file("esp32s3", test_values=False, metadata=True), "esp32p4", "metadata says esp32s3"),
    ],
)
def test_file_for_another_chip_is_refused(file: bytes, target: str, reason: str) -> None:
    with pytest.raises(EspdlError, match=reason):
        Model(file, target=target)


def test_every_place_a_model_can_lie_in(tmp_path: Path, x: np.ndarray) -> None:
    data = small_file("c")
    other = small_file("c", metadata=True)
    expected = Model(data).run_arrays({"x": x})["y"]
    path = tmp_path / "net.espdl"
    path.write_bytes(data)
    package = pack([("net.espdl", data), ("other.espdl", other)])
    models = [
        Model(path),
        Model(str(path), ModelLocation.SDCARD),
        Model("model", ModelLocation.FLASH_PARTITION, partitions={"model": data}),
        Model(package, 0),
        Model(package, "net.espdl"),
        Model(FbsLoader(data).load()),
    ]
    for model in models:
        np.testing.assert_array_equal(model.run_arrays({"x": x})["y"], expected)
    assert Model(package, 1).get_metadata_prop("target") == "c"
    with pytest.raises(EspdlError, match=r"missing\.espdl"):
        Model(package, "missing.espdl")


def test_encrypted_model_needs_its_key(x: np.ndarray) -> None:
    from espdl.fbs import records, wrap_model, write_model
    from tests.models import small_records

    key = bytes(range(16))
    data = wrap_model(write_model(small_records("c")), key)
    assert isinstance(records.Model, type)
    plain = Model(small_file("c", test_values=False)).run_arrays({"x": x})["y"]
    np.testing.assert_array_equal(Model(data, key=key).run_arrays({"x": x})["y"], plain)
    with pytest.raises(EspdlError, match="key"):
        Model(data)
    with pytest.raises(EspdlError, match="key"):
        Model(data, key=bytes(16))


def test_internal_memory_changes_the_plan_and_not_the_result(x: np.ndarray) -> None:
    data = small_file("c")
    expected = Model(data).run_arrays({"x": x})["y"]
    model = Model(data, max_internal_size=1024)
    np.testing.assert_array_equal(model.run_arrays({"x": x})["y"], expected)
    assert model.get_memory_info()["variable"].internal == 1024


def test_minimize_drops_names_only(x: np.ndarray) -> None:
    model = Model(small_file("c"))
    expected = model.run_arrays({"x": x})["y"]
    model.minimize()
    model.run(x)
    np.testing.assert_array_equal(model.get_output().data, expected)
    for call in (model.test, lambda: model.get_intermediate("c"), model.get_module_info):
        with pytest.raises(EspdlError, match="minimize"):
            call()
    assert Model(small_file("c")).test()


def test_profile_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    Model(small_file("c")).profile(sort_module_by_latency=True)
    printed = capsys.readouterr().out
    for word in ("memory summary", "module summary", "/conv", "fbs_model", "model:small, version:0"):
        assert word in printed


def test_the_rule_for_16_bit_tables_is_chosen_with_the_model() -> None:
    s16 = records.Attribute("quant_type", "S16")
    x, y = (records.ValueInfo(name, DType.INT16, (4,), (0,)) for name in "xy")
    table = records.Tensor("t", (3,), DType.INT16, np.int16([0, 300, -101]), (0,))
    node = records.Node("LUT", "/lut", ["x"], ["y"], [records.Attribute("lut", "t"), s16])
    data = wrap_model(write_model(records.Model(records.Graph("lut", [node], [table], [x], [y], [x, y]))))
    values = np.int16([-32768, -16384, 0, 32767])
    results = {
        rule: Model(data, target="c", int16_lut=rule).run_arrays({"x": values})["y"].tolist()
        for rule in ("nearest", "interpolating")
    }
    assert results == {"nearest": [0, 300, 300, -101], "interpolating": [0, 150, 300, -100]}
    assert Model(data, target="c").machine.int16_lut is Int16Lut.NEAREST
    with pytest.raises(EspdlError, match=r"no int16_lut 'linear'(.|\n)*nearest, interpolating"):
        Model(data, target="c", int16_lut="linear")


@pytest.mark.parametrize("moment", ["configure", "bind", "run"])
@pytest.mark.parametrize("error", [TypeError, MemoryError, EspdlError])
def test_whatever_fails_names_its_node(monkeypatch: pytest.MonkeyPatch, moment: str, error: type[Exception]) -> None:
    def fail(*_: object) -> None:
        raise error("it is too hot")

    if moment == "run":
        monkeypatch.setattr(MODULE_TYPES["GlobalAveragePool"], "bind", lambda *_: fail)
    else:
        monkeypatch.setattr(MODULE_TYPES["GlobalAveragePool"], moment, fail)
    with pytest.raises(EspdlError, match=r"^node '/pool' \(GlobalAveragePool\): ") as caught:
        Model(small_file("c", test_values=False), target="c").run()
    assert "it is too hot" in str(caught.value)
    assert caught.value.where.count("/pool") == 1
