"""Facts of chips against runtime spec 0 and 3.2 and quantizer spec 2, and the chips that share them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from espdl.chips import CHIPS, Chip, Packing, get_chip
from espdl.dl import Model
from espdl.dtypes import Arithmetic
from espdl.errors import EspdlError
from espdl.rounding import Rounding

PLAIN = ("c", "esp32", "esp32s2", "esp32c2", "esp32c3", "esp32c5", "esp32c6")
BLOCKED = ("esp32s3", "esp32p4", "esp32s31")


def test_every_chip_of_the_manifest() -> None:
    assert set(CHIPS) == {*PLAIN, *BLOCKED}
    assert all(name == chip.name for name, chip in CHIPS.items())


@pytest.mark.parametrize("name", PLAIN)
def test_chips_without_a_vector_unit(name: str) -> None:
    chip = get_chip(name)
    assert (chip.rounding, chip.packing, chip.lanes(1), chip.lanes(2)) == (Rounding.HALF_UP, Packing.PLAIN, 1, 1)
    assert not (chip.per_channel_weights or chip.integer_attention or chip.bitwise_logic)
    assert chip.export_bias_bits(8) == 32
    assert chip.export_bias_bits(16) == 64


@pytest.mark.parametrize("name", BLOCKED)
def test_chips_with_a_vector_unit(name: str) -> None:
    chip, is_second = get_chip(name), name != "esp32s3"
    assert (chip.packing, chip.lanes(1), chip.lanes(2)) == (Packing.BLOCKED, 16, 8)
    assert chip.rounding is (Rounding.HALF_EVEN if is_second else Rounding.HALF_UP)
    assert chip.per_channel_weights == chip.integer_attention == chip.bitwise_logic == is_second
    assert [chip.export_bias_bits(bits) for bits in (8, 16)] == [32 if is_second else 20, 40]
    assert (chip.macs8.block.bits, chip.macs16.block.bits) == ((32, 64) if is_second else (20, 40))


def facts(chip: Chip) -> dict[str, object]:
    return {field.name: getattr(chip, field.name) for field in dataclasses.fields(chip)}


def test_two_chips_of_one_class_differ_in_name_and_clock_only() -> None:
    one, other = facts(get_chip("esp32p4")), facts(get_chip("esp32s31"))
    assert {name for name in one if one[name] != other[name]} == {"name", "clock_mhz"}


def test_names_of_chips() -> None:
    assert get_chip("ESP32S31").name == "esp32s31"
    assert get_chip(get_chip("esp32c6")).name == "esp32c6"
    with pytest.raises(EspdlError, match="no target 'esp8266'"):
        get_chip("esp8266")


@pytest.mark.parametrize("op_type", ["Conv", "Gemm", "MatMul", "GRU", "Softmax", "Mul"])
@pytest.mark.parametrize("arithmetic", list(Arithmetic))
def test_files_of_a_class_run_on_each_of_its_chips(conformance: Path, op_type: str, arithmetic: Arithmetic) -> None:
    for file in sorted((conformance / "ops/esp32p4" / op_type).glob("*.espdl"))[:12]:
        model = Model(file, target="esp32s31", arithmetic=arithmetic)
        assert model.chip.name == "esp32s31"
        assert model.test()
