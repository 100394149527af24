"""Writes the ESP-IDF project of a model: every number in it comes from the model's memory plan."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from espdl.chips import CHIPS, Chip, get_chip
from espdl.deploy.project.readme import readme
from espdl.deploy.project.render import plain_file_name, render, render_if_present, symbol_of
from espdl.deploy.project.sizing import PROGRAM_BYTES, MemoryNeed, flash_megabytes, memory_need, partitions_for, place_model
from espdl.dl import Model
from espdl.dl.target import resolve_target
from espdl.dtypes import DType, ModelLocation
from espdl.errors import EspdlError
from espdl.estimate.latency import Time, estimate_latency
from espdl.estimate.modules import BoardModule
from espdl.fbs import FbsLoader, open_mapped
from espdl.fbs.files import staging_directory
from espdl.fbs.partition_table import Partition, partition_csv_row

LOCATIONS = {
    "rodata": ModelLocation.FLASH_RODATA,
    "partition": ModelLocation.FLASH_PARTITION,
    "sdcard": ModelLocation.SDCARD,
}
_CPP_LOCATION = {
    "rodata": "fbs::MODEL_LOCATION_IN_FLASH_RODATA",
    "partition": "fbs::MODEL_LOCATION_IN_FLASH_PARTITION",
    "sdcard": "fbs::MODEL_LOCATION_IN_SDCARD",
}
_SD_PINS = {"sd_clk": 14, "sd_cmd": 15, "sd_d0": 2}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Pipeline:
    """How a picture becomes the model's input, and its output an answer. ``values`` fill the template ``code``."""

    code: str
    values: Mapping[str, str] = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    outputs: int = 0

    @property
    def has_picture(self) -> bool:
        return bool(self.headers)


_JPEG = ("dl_image_jpeg.hpp", "dl_image_preprocessor.hpp")
_IMAGENET = {"mean": "123.675, 116.28, 103.53", "std": "58.395, 57.12, 57.375"}
_UNIT = {"mean": "0, 0, 0", "std": "255, 255, 255"}

PIPELINES = {
    "none": Pipeline("main/run_none.cpp"),
    "classify": Pipeline("main/run_classify.cpp", _IMAGENET, _JPEG, outputs=1),
    "detect-yolo11": Pipeline(
        "main/run_detect.cpp",
        {**_UNIT, "postprocessor": "yolo11PostProcessor", "score_threshold": "0.25f", "nms_threshold": "0.7f"},
        (*_JPEG, "dl_detect_yolo11_postprocessor.hpp"),
        outputs=6,
    ),
    "detect-espdet": Pipeline(
        "main/run_detect.cpp",
        {**_UNIT, "postprocessor": "ESPDetPostProcessor", "score_threshold": "0.5f", "nms_threshold": "0.7f"},
        (*_JPEG, "dl_detect_espdet_postprocessor.hpp"),
        outputs=6,
    ),
}


@dataclass(frozen=True)
class Project:
    """What was written.

    Attributes:
        directory: of the project. files: written, relative to it.
        chip, location, pipeline: as chosen. module: whose memories it is for.
        memory: bytes that the model takes. latency: of one run, estimated.
        partitions: rows of the partition table. flash_mb: megabytes of flash that it is for.
    """

    directory: Path
    files: tuple[str, ...]
    chip: str
    module: str
    location: str
    pipeline: str
    memory: MemoryNeed
    latency: Time
    partitions: tuple[Partition, ...]
    flash_mb: int


def new_project(
    directory: str | Path,
    model: str | Path,
    target: str | None = None,
    *,
    location: str = "rodata",
    pipeline: str = "none",
    picture: str | Path | None = None,
    max_internal_size: int = 0,
    param_copy: bool = True,
    module: str | None = None,
    label: str = "model",
    force: bool = False,
) -> Project:
    """Writes a project.

    Args:
        directory: a new one, or an empty one.
        model: the ``.espdl`` file, which is copied into the project.
        target: chip; None takes it from the file.
        location: ``rodata`` (part of the program), ``partition`` or ``sdcard``.
        pipeline: ``none``, ``classify``, ``detect-yolo11`` or ``detect-espdet``.
        picture: a JPEG to run a pipeline on; part of the program.
        max_internal_size: bytes of internal RAM that the plan fills first.
        param_copy: whether the chip copies parameters to RAM.
        module: that the chip is part of (``N16R8``), which says how much flash and PSRAM there are and of which kind; None takes the
            smallest flash that is enough, and the PSRAM of the usual module, or of a larger one if that is too small.
        label: of the model's partition.
        force: whether files of the project that are there are replaced; others are left alone.

    Raises:
        EspdlError: a model that cannot be loaded or does not fit the pipeline or the module, a chip that firmware cannot be built for,
            a flash that is too small, or a directory that is not empty.
    """
    directory, model = Path(directory), Path(model)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", directory.resolve().name)
    if not _NAME.fullmatch(name):
        raise EspdlError(f"{name!r} is no name of a project", hint="let the directory begin with a letter")
    if location not in LOCATIONS or pipeline not in PIPELINES:
        raise EspdlError(f"there is no {location}/{pipeline} project", hint=f"{', '.join(LOCATIONS)}; {', '.join(PIPELINES)}")
    recipe = PIPELINES[pipeline]
    if recipe.has_picture != (picture is not None):
        raise EspdlError(
            f"the pipeline {pipeline} {'runs on a picture' if recipe.has_picture else 'takes no picture'}",
            hint="give a JPEG with --image" if recipe.has_picture else "leave --image out, or choose a pipeline",
        )
    model_file = plain_file_name(model.name)
    chip = _firmware_chip(resolve_target(FbsLoader(model).load(), target).chip)
    loaded, memory = place_model(
        model, chip, module, param_copy=param_copy, location=LOCATIONS[location], max_internal_size=max_internal_size
    )
    latency = estimate_latency(loaded, memory)
    _check_pipeline(loaded, pipeline, recipe)
    model_bytes = model.stat().st_size
    need = memory_need(memory, model_bytes)
    extra = (model_bytes if location == "rodata" else 0) + (Path(picture).stat().st_size if picture else 0)
    rows = partitions_for(model_bytes, label if location == "partition" else None, program_bytes=PROGRAM_BYTES + extra)
    flash = flash_megabytes(rows, memory.module if module else None)
    contents: dict[str, str | Path] = {
        "CMakeLists.txt": render("CMakeLists.txt", {"name": name}),
        "partitions.csv": _partitions_csv(rows),
        "sdkconfig.defaults": _sdkconfig(chip, flash, memory.module, need),
        f"main/models/{model_file}": model,
        "main/idf_component.yml": render("main/idf_component.yml"),
        "main/CMakeLists.txt": _main_cmake(model_file, location, label, recipe, picture),
        "main/app_main.cpp": _program(
            name, loaded, model_file, location, label, recipe, picture, need, max_internal_size, param_copy
        ),
    }
    if location == "sdcard":
        contents |= {f"main/{file}": render(f"main/{file}") for file in ("sd_card.hpp", "sd_card.cpp")}
        contents["main/Kconfig.projbuild"] = render("main/Kconfig.projbuild", _SD_PINS)
    if picture:
        contents["main/picture.jpg"] = _jpeg(picture)
    contents["README.md"] = readme(name, model_file, location, label, need, memory, latency, rows, flash, sorted(contents))
    _write(directory, contents, force)
    files = tuple(sorted(contents))
    return Project(directory, files, chip.name, memory.module.name, location, pipeline, need, latency.model, tuple(rows), flash)


def _firmware_chip(chip: Chip) -> Chip:
    """The chip, if it is one: a file may be for the plain C code of several."""
    if not chip.name.startswith("esp"):
        names = ", ".join(name for name, other in CHIPS.items() if name.startswith("esp") and other.packing is chip.packing)
        raise EspdlError(f"{chip.name!r} is no chip that firmware is built for", hint=f"give --target: one of {names}")
    return get_chip(chip.name)


def _check_pipeline(model: Model, pipeline: str, recipe: Pipeline) -> None:
    if not recipe.has_picture:
        return
    inputs, outputs = model.get_inputs(), model.get_outputs()
    shape = next(iter(inputs.values())).shape
    if len(inputs) != 1 or len(shape) != 4 or shape[-1] != 3 or next(iter(inputs.values())).dtype is DType.FLOAT:
        raise EspdlError(
            f"the pipeline {pipeline} feeds one quantized picture of 3 channels", why="the model takes something else"
        )
    if len(outputs) != recipe.outputs:
        raise EspdlError(
            f"the pipeline {pipeline} reads {recipe.outputs} outputs, and the model has {len(outputs)}",
            hint="choose another pipeline, or none",
        )


def _sdkconfig(chip: Chip, flash_mb: int, board: BoardModule, need: MemoryNeed) -> str:
    text = render("sdkconfig/common.txt", {"target": chip.name, "flash_mb": flash_mb})
    text += render_if_present(f"sdkconfig/{chip.name}.txt")
    text += render_if_present(f"sdkconfig/{chip.name}_flash{board.flash_lines}.txt")
    return text + (render(f"sdkconfig/{chip.name}_psram{board.psram_lines}.txt") if need.psram else "")


def _partitions_csv(rows: Sequence[Partition]) -> str:
    return "# name, type, subtype, offset, size, flags\n" + "".join(partition_csv_row(row) + "\n" for row in rows)


def _main_cmake(model_file: str, location: str, label: str, recipe: Pipeline, picture: object) -> str:
    values = {
        "sources": " sd_card.cpp" if location == "sdcard" else "",
        "requires": "esp-dl fatfs sdmmc" if location == "sdcard" else "esp-dl",
        "embed": "\n                       EMBED_FILES picture.jpg" if picture else "",
        "model_file": model_file,
        "label": label,
    }
    return render(f"main/CMakeLists_{location}.txt", values)


def _program(
    name: str,
    model: Model,
    model_file: str,
    location: str,
    label: str,
    recipe: Pipeline,
    picture: object,
    need: MemoryNeed,
    max_internal_size: int,
    param_copy: bool,
) -> str:
    headers = [*recipe.headers, *(["sd_card.hpp"] if location == "sdcard" else [])]
    declarations, source = [], f'"{label}"'
    if location == "rodata":
        declarations.append(f'extern const uint8_t model_data[] asm("_binary_{symbol_of(model_file)}_start");')
        source = "reinterpret_cast<const char *>(model_data)"
    elif location == "sdcard":
        source = f'"/sdcard/{model_file}"'
    if picture:
        declarations += [f'extern const uint8_t picture_{end}[] asm("_binary_picture_jpg_{end}");' for end in ("start", "end")]
    has_test = bool(model.fbs_model.get_test_outputs_name())
    test = "    ESP_ERROR_CHECK(model->test()); // the values embedded in the file\n" if has_test else ""
    return render(
        "main/app_main.cpp",
        {
            "target": model.chip.name,
            "name": name,
            "includes": "".join(f'#include "{header}"\n' for header in headers),
            "declarations": "".join(line + "\n" for line in declarations),
            "mount": "    ESP_ERROR_CHECK(mount_sd_card());\n" if location == "sdcard" else "",
            "plan": need.words(),
            "source": source,
            "location": _CPP_LOCATION[location],
            "max_internal_size": max_internal_size,
            "param_copy": str(param_copy).lower(),
            "test": test,
            "run": render(recipe.code, recipe.values),
        },
    )


def _jpeg(picture: str | Path) -> Path:
    if bytes(open_mapped(picture)[:3]) != b"\xff\xd8\xff":
        raise EspdlError("this is not a JPEG", where=str(picture), hint="the chip decodes JPEG: convert the picture")
    return Path(picture)


def _write(directory: Path, contents: Mapping[str, str | Path], force: bool) -> None:
    """All files, or none: they are written beside the directory first."""
    if directory.exists() and (not directory.is_dir() or (any(directory.iterdir()) and not force)):
        raise EspdlError("the directory is not empty", where=str(directory), hint="choose another, or give --force")
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with staging_directory(directory.absolute()) as staged:
            for name, content in contents.items():
                target = Path(staged) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, Path):
                    shutil.copyfile(content, target)
                else:
                    target.write_text(content, encoding="utf-8", newline="\n")
            for name in contents:
                target = directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(staged) / name, target)
    except OSError as error:
        raise EspdlError("the project cannot be written", where=str(directory), why=error.strerror or str(error)) from None
