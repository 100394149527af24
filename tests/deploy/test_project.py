"""Generated ESP-IDF projects: CMake takes them, a C++ compiler takes them, and their numbers are the plan's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from espdl.deploy.project import LOCATIONS, new_project
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.estimate.latency import estimate_latency
from espdl.estimate.memory import estimate_memory
from espdl.fbs.partition_table import parse_partition_csv
from tests.models import small_file

IDF = Path(__file__).parent / "idf"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small net.espdl"
    path.write_bytes(small_file("esp32s3", metadata=True))
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    path = tmp_path / "photo.jpg"
    Image.new("RGB", (32, 24), "teal").save(path)
    return path


def configure(project: Path, build: Path) -> str:
    """What the project's CMake files call, one line a call."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("there is no cmake")
    run = subprocess.run(
        [cmake, "-S", project, "-B", build], env={**os.environ, "IDF_PATH": str(IDF)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return (build / "calls.txt").read_text()


def check_syntax(project: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    for source in sorted((project / "main").glob("*.cpp")):
        command = [compiler, "-std=gnu++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{IDF / 'include'}", str(source)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("location", LOCATIONS)
def test_a_project_configures_and_compiles(model: Path, tmp_path: Path, location: str) -> None:
    done = new_project(tmp_path / "firmware", model, location=location)
    calls = configure(done.directory, tmp_path / "build")
    assert "project firmware" in calls
    assert {
        "rodata": "embed small_net.espdl",
        "partition": "flash model small_net.espdl",
        "sdcard": "register app_main.cpp;sd_card.cpp requires esp-dl;fatfs;sdmmc",
    }[location] in calls
    check_syntax(done.directory)
    assert (done.directory / "main/models/small_net.espdl").read_bytes() == model.read_bytes()
    program = (done.directory / "main/app_main.cpp").read_text()
    assert ("_binary_small_net_espdl_start" in program) == (location == "rodata")
    assert "ESP_ERROR_CHECK(model->test())" in program
    assert "@" not in program


@pytest.mark.parametrize("pipeline", ["classify", "detect-yolo11", "detect-espdet"])
def test_a_pipeline_compiles(picture: Path, tmp_path: Path, conformance: Path, pipeline: str) -> None:
    names = {
        "classify": "imagenet_cls_mobilenetv2_s8_v1",
        "detect-yolo11": "coco_detect_yolo11n_320_s8_v1",
        "detect-espdet": "espdet_pico_224_224_face",
    }
    model = conformance / "models" / "esp32p4" / f"{names[pipeline]}.espdl"
    done = new_project(tmp_path / "firmware", model, "esp32p4", pipeline=pipeline, picture=picture)
    assert "embeds picture.jpg" in configure(done.directory, tmp_path / "build")
    check_syntax(done.directory)


@pytest.mark.parametrize(("max_internal_size", "param_copy"), [(0, True), (2048, True), (1 << 16, False)])
def test_the_numbers_are_those_of_the_plan(model: Path, tmp_path: Path, max_internal_size: int, param_copy: bool) -> None:
    done = new_project(tmp_path / "firmware", model, max_internal_size=max_internal_size, param_copy=param_copy)
    info = Model(model, max_internal_size=max_internal_size, param_copy=param_copy).get_memory_info()
    assert done.memory.activations == info["variable"].internal + info["variable"].psram
    assert done.memory.parameters == info["parameter_copy"].total
    assert (done.memory.internal, done.memory.psram) == (info["total"].internal, info["total"].psram)
    readme = (done.directory / "README.md").read_text()
    assert f"| activations (one arena) | {done.memory.activations} |" in readme
    settings = (done.directory / "sdkconfig.defaults").read_text()
    assert ("CONFIG_SPIRAM=y" in settings) == (done.memory.psram > 0)
    program = (done.directory / "main/app_main.cpp").read_text()
    assert f"{max_internal_size}, // bytes of internal RAM" in program
    assert f"{str(param_copy).lower()}); // whether parameters are copied" in program


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("N16R8", ["FLASHSIZE_16MB", "FLASHMODE_QIO", "SPIRAM_MODE_OCT"]),
        ("ESP32-S3-WROOM-1-N8R2", ["FLASHSIZE_8MB", "FLASHMODE_QIO", "SPIRAM_MODE_QUAD"]),
        ("N32R8V", ["FLASHSIZE_32MB", "OCT_FLASH", "SPIRAM_MODE_OCT"]),
        ("N4", ["FLASHSIZE_4MB", "FLASHMODE_QIO"]),
    ],
)
def test_the_settings_are_those_of_the_module(model: Path, tmp_path: Path, module: str, settings: list[str]) -> None:
    done = new_project(tmp_path / "firmware", model, module=module)
    text = (done.directory / "sdkconfig.defaults").read_text()
    kinds = ("FLASHSIZE_", "FLASHMODE_", "OCT_FLASH", "SPIRAM_MODE_")
    found = [line for line in text.splitlines() if any(kind in line for kind in kinds)]
    assert [line.removeprefix("CONFIG_").removeprefix("ESPTOOLPY_").removesuffix("=y") for line in found] == settings
    assert ("CONFIG_SPIRAM=y" in text) == (done.memory.psram > 0) == ("R" in done.module)


def test_the_readme_tells_latency_and_fit(model: Path, tmp_path: Path) -> None:
    done = new_project(tmp_path / "firmware", model, module="N16R8")
    memory = estimate_memory(Model(model), "N16R8", "yes")
    latency = estimate_latency(Model(model), memory)
    assert done.latency == latency.model
    readme = (done.directory / "README.md").read_text()
    assert f"The model {memory.verdict()}." in readme
    assert f"| latency | {latency.model.text()}, 90 % interval" in readme


def test_a_model_goes_to_a_module_that_it_fits(tmp_path: Path, conformance: Path) -> None:
    model = conformance / "models" / "esp32p4" / "coco_detect_yolo11n_320_s8_v1.espdl"
    with pytest.raises(EspdlError, match="of PSRAM too little") as refusal:
        new_project(tmp_path / "refused", model, module="N16R2")
    assert "--no-param-copy" in str(refusal.value)
    assert new_project(tmp_path / "firmware", model).module == "N16R32"


def test_the_table_holds_program_and_model(tmp_path: Path) -> None:
    model = tmp_path / "large.espdl"
    model.write_bytes(small_file("esp32s3", metadata=True).ljust(5_000_000, b"\0"))
    for location, flash_mb in (("partition", 8), ("rodata", 8), ("sdcard", 4)):
        done = new_project(tmp_path / location, model, location=location)
        rows = {row.label: row for row in parse_partition_csv((done.directory / "partitions.csv").read_text())}
        assert list(rows.values()) == list(done.partitions)
        assert done.flash_mb == flash_mb
        assert f"CONFIG_ESPTOOLPY_FLASHSIZE_{flash_mb}MB=y" in (done.directory / "sdkconfig.defaults").read_text()
        assert rows["factory"].size >= (7_000_000 if location == "rodata" else 2_000_000)
        assert ("model" in rows) == (location == "partition")
        assert location != "partition" or rows["model"].size >= 5_000_000
    with pytest.raises(EspdlError, match="the flash has 0x400000 bytes"):
        new_project(tmp_path / "small", model, location="partition", module="N4R8", param_copy=False)
    assert not (tmp_path / "small").exists()


def test_what_is_refused(model: Path, picture: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.espdl"
    plain.write_bytes(small_file("c"))
    attempts = {
        "is no chip that firmware is built for": {"model": plain, "target": "c"},
        "runs on a picture": {"model": model, "pipeline": "classify"},
        "takes no picture": {"model": model, "picture": picture},
        "reads 6 outputs, and the model has 1": {"model": model, "pipeline": "detect-yolo11", "picture": picture},
        "this is not a JPEG": {"model": model, "pipeline": "classify", "picture": model},
        "has no PSRAM": {"model": plain, "target": "esp32c3", "module": "N4R2"},
        "lower --max-internal-size": {"model": model, "max_internal_size": 1 << 20},
        "is no module": {"model": model, "module": "N5R8"},
        "is not 1 to 15 bytes long": {"model": model, "location": "partition", "label": "a" * 16},
    }
    for message, arguments in attempts.items():
        with pytest.raises(EspdlError, match=message):
            new_project(tmp_path / "firmware", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "firmware").exists()


def test_nothing_of_the_users_is_lost(model: Path, tmp_path: Path) -> None:
    directory = tmp_path / "firmware"
    directory.mkdir()
    (directory / "notes.txt").write_text("precious")
    with pytest.raises(EspdlError, match="the directory is not empty"):
        new_project(directory, model)
    assert [path.name for path in directory.iterdir()] == ["notes.txt"]
    done = new_project(directory, model, force=True)
    assert (directory / "notes.txt").read_text() == "precious"
    assert all((directory / file).is_file() for file in done.files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["firmware", "small net.espdl"]
