"""Memory against modules, and how good a plan is."""

from __future__ import annotations

from pathlib import Path

import pytest

from espdl.chips import get_chip
from espdl.dl import Model
from espdl.dl.memory import MemoryPlan
from espdl.dl.plan import PlannedTensor
from espdl.dtypes import DType, ModelLocation
from espdl.estimate.memory import ParamCopy, estimate_memory, size_text
from espdl.estimate.packing import live_bytes, search, split
from tests.models import small_file


def tensor(name: str, size: int, begin: int, end: int, leader: str | None = None) -> PlannedTensor:
    return PlannedTensor(name, (size,), DType.INT8, 0, size, begin, end, leader, False, 0)


PLAN = MemoryPlan({t.name: t for t in (tensor("x", 100, 0, 1), tensor("a", 200, 0, 2), tensor("b", 50, 1, -1))}, 0, 0)


def test_what_lives_at_the_same_time() -> None:
    assert live_bytes(PLAN, 3) == [112 + 208, 208 + 64, 64]
    follower = PLAN.tensors | {"f": tensor("f", 200, 1, 3, leader="a")}
    assert live_bytes(MemoryPlan(follower, 0, 0), 3) == live_bytes(PLAN, 3)


def test_internal_ram_is_searched_to_the_byte() -> None:
    found = search(PLAN, 3, 1000)
    assert split(PLAN, 3, 0).psram == 320
    assert found.least is not None
    assert found.least.max_internal_size == 112  # x; to take b away alone does not make the arena smaller
    assert found.whole is not None
    assert found.whole.max_internal_size == 320
    assert found.best.psram == 0
    assert search(PLAN, 3, 32).least is None


@pytest.mark.parametrize("chip", ["esp32s3", "esp32p4"])
def test_arenas_are_those_of_the_planner(conformance: Path, chip: str) -> None:
    """And no arena is smaller than what lives at once; ``split`` plans what the planner itself plans."""
    for file in sorted((conformance / "models" / chip).glob("*.espdl")):
        model = Model(file, target=chip)
        memory = estimate_memory(model, search_internal=False)
        steps = len(model.modules)
        assert memory.arena == model.get_memory_info()["variable"].psram == split(model.memory.plan, steps, 0).psram
        assert memory.least_arena <= memory.arena <= 1.6 * memory.least_arena
        half = memory.least_arena // 2
        planned = Model(file, target=chip, max_internal_size=half).memory.plan
        assert split(model.memory.plan, steps, half).psram == planned.psram_size


def test_the_found_size_helps_and_a_smaller_one_does_not(conformance: Path) -> None:
    file = conformance / "models/esp32s3/human_face_detect_msr_s8_v1.espdl"
    memory = estimate_memory(Model(file, target="esp32s3"))
    assert memory.internal_ram is not None
    least, whole = memory.internal_ram.least, memory.internal_ram.whole
    assert least is not None
    assert whole is not None

    def arena(size: int) -> int:
        return Model(file, target="esp32s3", max_internal_size=size).memory.plan.psram_size

    assert arena(least.max_internal_size) == least.psram < memory.arena <= arena(least.max_internal_size - 16)
    assert arena(whole.max_internal_size) == 0 < arena(whole.max_internal_size - 16)


def test_verdicts(conformance: Path) -> None:
    model = Model(conformance / "models/esp32s3/imagenet_cls_mobilenetv2_s8_v1.espdl", target="esp32s3")
    usual = estimate_memory(model, search_internal=False)
    assert usual.fits
    assert usual.param_copy
    assert usual.verdict().startswith("fits N16R8: 5.01 MB of 8.00 MB PSRAM")
    small = estimate_memory(model, "N4R2", search_internal=False)
    assert not small.param_copy  # 5 MB do not go into 2: the parameters stay in flash
    assert not small.fits
    assert small.verdict() == "does not fit N4R2: 455.6 KB of flash too little"
    forced = estimate_memory(model, "N8R2", ParamCopy.YES, search_internal=False)
    assert forced.psram.missing == forced.psram.needed - forced.psram.available > 3 << 20
    assert "of PSRAM too little" in forced.verdict()


def test_without_psram_everything_is_internal() -> None:
    model = Model(small_file("esp32s3", metadata=True), psram=False)
    memory = estimate_memory(model, "N4")
    assert memory.psram.needed == 0
    assert memory.repacked == 16 * 4 + 4 * 8 - 80  # 20 biases of 4 bytes: one block packed, four as int64
    assert memory.internal.needed == memory.arena + memory.usage["parameter_copy"].internal + memory.repacked
    assert memory.internal_ram is None
    kept = estimate_memory(model, "N4", "no")
    assert kept.repacked == 16 * 4 + 4 * 8
    assert kept.internal.needed == memory.arena + kept.repacked
    assert estimate_memory(model, "N16R32", chip=get_chip("esp32p4")).repacked == 0
    assert not kept.usage["parameter_copy"].total


def test_files_of_components_are_loaded_as_these_do(conformance: Path) -> None:
    model = Model(conformance / "models/esp32s3/coco_detect_yolo11n_320_s8_v1.espdl", target="esp32s3")
    little = estimate_memory(model, "N8R8", search_internal=False)
    assert little.by_component
    assert not little.param_copy
    assert estimate_memory(model, "N16R16V", search_internal=False).param_copy
    assert estimate_memory(model, "N8R8", "yes", search_internal=False).param_copy


def test_a_file_from_a_card_is_in_ram_already(tmp_path: Path) -> None:
    path = tmp_path / "small.espdl"
    path.write_bytes(small_file("esp32s3", metadata=True))
    card = Model(path, ModelLocation.SDCARD)
    for wanted in ParamCopy:
        memory = estimate_memory(card, None, wanted)
        assert memory.parameters_in == "psram"
        assert not memory.param_copy
        assert memory.usage == card.get_memory_info()
    assert estimate_memory(Model(path), None, "no").parameters_in == "flash"
    assert estimate_memory(Model(path, psram=False), "N4").parameters_in == "internal"


def test_usage_is_what_the_model_says() -> None:
    model = Model(small_file("esp32s3", metadata=True))
    memory = estimate_memory(model)
    assert memory.usage == model.get_memory_info()
    assert memory.to_dict()["fits"] is True


def test_sizes_in_words() -> None:
    assert size_text(1536) == "1.5 KB"
    assert size_text(3 << 20) == "3.00 MB"
