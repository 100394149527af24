"""Settings: the names and defaults of the guide, and nothing that is ignored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from espdl.chips import CHIPS
from espdl.errors import EspdlError
from espdl.quantize.platform import get_target_platform
from espdl.quantize.setting import QuantizationSettingFactory
from espdl.quantize.setting_check import COUNTS, check_setting


def test_the_defaults_are_those_of_the_guide() -> None:
    """Apart from what the default does more; see below."""
    setting = QuantizationSettingFactory.espdl_setting()
    assert setting.quantize_parameter_setting.calib_algorithm is None
    assert setting.fusion_setting.align_elementwise_to == "Align to Output"
    assert setting.fusion_setting.force_alignment_overlap is False
    tqt = setting.tqt_optimization_setting
    assert (tqt.lr, tqt.steps, tqt.block_size, tqt.gamma, tqt.is_scale_trainable) == (1e-5, 500, 4, 0.0, True)
    assert tqt.interested_layers == [] and tqt.int_lambda == 0.0
    assert setting.tqt_optimization_setting.collecting_device == "cpu"
    assert setting.lsq_optimization_setting.collecting_device == "cpu"
    assert setting.equalization_setting.iterations == 10
    assert setting.weight_split_setting.value_threshold == 2.0
    assert setting.lut_optimization_setting.step == 32
    assert setting.dispatcher == "allin"
    check_setting(setting)


def test_at_16_bits_the_range_counts() -> None:
    setting = QuantizationSettingFactory.espdl_setting(16)
    assert setting.quantize_activation_setting.calib_algorithm == "minmax"
    assert setting.quantize_parameter_setting.calib_algorithm == "minmax"
    check_setting(setting)
    with pytest.raises(EspdlError, match="4 bits"):
        QuantizationSettingFactory.espdl_setting(4)


def test_two_settings_share_nothing() -> None:
    one, other = QuantizationSettingFactory.espdl_setting(), QuantizationSettingFactory.espdl_setting()
    one.equalization_setting.interested_layers = ["a"]
    one.dispatching_table.append("a", get_target_platform("c", 16))
    assert other.equalization_setting.interested_layers == []
    assert not other.dispatching_table.platforms


def test_a_name_that_does_not_exist_is_refused_with_the_nearest() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    with pytest.raises(EspdlError, match="equalization"):
        setting.equalisation = True  # type: ignore[attr-defined]
    with pytest.raises(EspdlError, match="steps"):
        setting.tqt_optimization_setting.step = 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name",
    [
        "matrix_factorization", "extension",
    ],
)  # fmt: skip
def test_what_nothing_acts_upon_is_refused_when_turned_on(name: str) -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setattr(setting, name, True)
    with pytest.raises(EspdlError, match=name):
        check_setting(setting)


def test_choices_that_are_not_there_are_refused() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.fusion_setting.align_elementwise_to = "None"
    with pytest.raises(EspdlError, match="'Align to Output' or 'Align to Large'"):
        check_setting(setting)
    setting = QuantizationSettingFactory.espdl_setting()
    setting.graph_format_setting.fuse_conv_bn = False
    with pytest.raises(EspdlError, match="graph_format_setting"):
        check_setting(setting)


@pytest.mark.parametrize("group", ["quantize_activation_setting", "quantize_parameter_setting"])
def test_unknown_algorithms_are_refused(group: str) -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    getattr(setting, group).calib_algorithm = "entropy"
    with pytest.raises(EspdlError, match="percentile"):
        check_setting(setting)
    setting = QuantizationSettingFactory.espdl_setting()
    getattr(setting, group).calib_algorithm_per_layer["conv"] = "floating"
    with pytest.raises(EspdlError, match="isotone"):
        check_setting(setting)


@pytest.mark.parametrize("step", [0, 3, -1, 2.5])
def test_table_steps_are_powers_of_two(step: object) -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.lut_optimization_setting.step = step  # type: ignore[assignment]
    with pytest.raises(EspdlError, match=r"power of two|whole number"):
        check_setting(setting)


def test_nested_values_can_be_assigned_by_name() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.update({"tqt_optimization_setting": {"steps": 100}, "quantize_activation_setting": {"calib_algorithm": "mse"}})
    assert setting.tqt_optimization_setting.steps == 100
    assert setting.to_dict()["quantize_activation_setting"]["calib_algorithm"] == "mse"
    with pytest.raises(EspdlError, match="true or false"):
        setting.update({"equalization": 1})
    with pytest.raises(EspdlError, match="group"):
        setting.update({"equalization_setting": True})
    with pytest.raises(EspdlError, match="append"):
        setting.update({"dispatching_table": {}})


# Platforms


@pytest.mark.parametrize(
    ("target", "quant_type", "name"),
    [
        ("esp32p4", "w8a8", "ESPDL_INT8"), ("ESP32S3", 8, "ESPDL_S3_INT8"), ("esp32s31", 16, "ESPDL_INT16"),
        ("esp32c3", "W16A16", "ESPDL_C_INT16"), ("c", "w8a16", "ESPDL_C_W8A16"), ("esp32s3", "none", "FP32"),
    ],
)  # fmt: skip
def test_platforms_have_their_names(target: str, quant_type: str | int, name: str) -> None:
    assert get_target_platform(target, quant_type).name == name


def test_older_spellings_of_platforms() -> None:
    assert get_target_platform("c", num_of_bits=16) == get_target_platform("c", 16)
    assert get_target_platform("c", float=True).is_float
    assert get_target_platform("esp32p4", 16, hi_precision=True).name == "ESPDL_H_PRE_INT16"
    assert get_target_platform("esp32s3", "w16a16", True).name == "ESPDL_S3_H_PRE_INT16"


def test_platforms_that_do_not_exist_are_refused() -> None:
    with pytest.raises(EspdlError, match="esp32p4"):
        get_target_platform("esp32s4")
    with pytest.raises(EspdlError, match="w8a8"):
        get_target_platform("c", 4)
    with pytest.raises(EspdlError, match="bit_width"):
        get_target_platform("c", bit_width=8)
    with pytest.raises(EspdlError, match="w16a16"):
        get_target_platform("c", 8, debug=True)


def test_every_chip_has_a_platform() -> None:
    assert {get_target_platform(name).name for name in CHIPS} == {"ESPDL_INT8", "ESPDL_S3_INT8", "ESPDL_C_INT8"}


def test_a_platform_is_needed_to_send_a_layer_elsewhere() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    with pytest.raises(EspdlError, match="get_target_platform"):
        setting.dispatching_table.append("a", 16)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [8, 16])
def test_the_default_changes_weights_at_8_bits_and_esp_ppqs_does_not(bits: int) -> None:
    ours, theirs = QuantizationSettingFactory.espdl_setting(bits), QuantizationSettingFactory.esp_ppq_setting(bits)
    assert {ours.channel_balancing, ours.weight_rounding, ours.bias_correct} == {bits == 8}
    assert ours.quantize_activation_setting.calib_algorithm == ("output" if bits == 8 else "minmax")
    assert not (theirs.channel_balancing or theirs.weight_rounding or theirs.bias_correct)
    assert theirs.quantize_activation_setting.calib_algorithm == ("kl" if bits == 8 else "minmax")
    assert QuantizationSettingFactory.accurate_setting(bits).weight_rounding_setting.inputs > ours.weight_rounding_setting.inputs
    check_setting(ours)
    check_setting(theirs)


@pytest.mark.parametrize(("group", "name"), [tuple(path.split(".")) for path in COUNTS])
@pytest.mark.parametrize("value", [0, -1, 1.5, "many"])
def test_numbers_that_make_no_sense_are_refused(group: str, name: str, value: object) -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setattr(getattr(setting, group), name, value)
    with pytest.raises(EspdlError, match=f"{group}.{name}"):
        check_setting(setting)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0), ("steps", 1.5), ("lr", -1e-3), ("lr", float("nan")), ("int_lambda", 2), ("gamma", "much"), ("block_size", -1),
        ("holdout", 0.9), ("batch_size", 0), ("is_scale_trainable", 1), ("collecting_device", 3), ("interested_layers", "conv"),
    ],
)  # fmt: skip
def test_training_settings_that_cannot_be_followed_are_refused(name: str, value: object) -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setattr(setting.tqt_optimization_setting, name, value)
    with pytest.raises(EspdlError, match=rf"tqt_optimization_setting\.{name} = "):
        check_setting(setting)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("lut_optimization", "yes", "True or False"),
        ("graph_format_setting.fuse_conv_bn", 1, "True or False"),
        ("ssd_setting.channel_ratio", "half", "a number"),
        ("ssd_setting.channel_ratio", 1.5, "from 0 to 1"),
        ("ssd_setting.loss_threshold", float("nan"), "from 0"),
        ("ssd_setting.iteration", 0, "rounds"),
        ("channel_split_setting.iterations", -1, "rounds"),
        ("equalization_setting.value_threshold", -1.0, "from 0"),
        ("equalization_setting.interested_layers", "/Conv", "a list of names or None"),
        ("bias_correct_setting.interested_layers", None, "a list of names"),
        ("quantize_activation_setting.calib_algorithm_per_layer", 3, "a mapping by name"),
        ("quantize_activation_setting.calib_algorithm", 3, "a text or None"),
        ("dispatching_table", 3, "DispatchingTable"),
        ("fusion_setting", True, "a group of settings"),
        ("lut_optimization_setting.target_ops", ["Sigmiod"], "Sigmoid"),
    ],
)
def test_a_value_of_another_kind_is_refused_before_any_work(path: str, value: object, text: str) -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    *groups, name = path.split(".")
    place: Any = setting
    for group in groups:
        place = getattr(place, group)
    setattr(place, name, value)
    with pytest.raises(EspdlError, match=text) as error:
        check_setting(setting)
    assert name in str(error.value)


def test_numbers_of_numpy_are_numbers() -> None:
    setting = QuantizationSettingFactory.espdl_setting()
    setting.equalization_setting.value_threshold = np.float32(0.25)  # type: ignore[assignment]
    setting.weight_split_setting.value_threshold = 1
    check_setting(setting)
