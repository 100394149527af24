"""Flash images: what is written to a partition is loaded from there by its label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from espdl.deploy.flash import update_partition_csv, write_model_partition
from espdl.dl import Model
from espdl.errors import EspdlError
from espdl.fbs import MODEL_LOCATION_IN_FLASH_PARTITION, FlashImage
from espdl.fbs.partition_table import parse_partition_csv, write_partition_table

TABLE = "nvs, data, nvs, , 24K\nfactory, app, factory, , 1M\nmodel, data, spiffs, , 64K  # weights\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "partitions.csv"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_runs_from_the_image_of_a_flash(models: list[Path], table: Path, tmp_path: Path, count: int) -> None:
    out, flash = tmp_path / "model.bin", tmp_path / "flash.bin"
    done = write_model_partition(models[:count], table, out=out, flash=flash)
    assert (done.offset, done.size, done.bytes) == (0x110000, 0x10000, out.stat().st_size)
    assert done.write_command(out) == f"esptool --chip esp32s3 write-flash 0x110000 {out}"
    image = FlashImage(flash)
    assert bytes(image.read("model")) == out.read_bytes().ljust(0x10000, b"\xff")
    assert set(image.partitions) == {"nvs", "factory", "model"}
    x = np.random.default_rng(0).integers(-128, 128, (1, 6, 6, 3), dtype=np.int8)
    expected = Model(models[count - 1]).run_arrays({"x": x})["y"]
    arguments = ("model",) if count == 1 else ("model", "second.espdl")
    for source in (flash, flash.read_bytes(), image):
        model = Model(*arguments, location=MODEL_LOCATION_IN_FLASH_PARTITION, flash=source)
        assert np.array_equal(model.run_arrays({"x": x})["y"], expected)


def test_the_rest_of_a_flash_stays_as_it_is(models: list[Path], table: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    content = bytearray(np.random.default_rng(1).bytes(0x112000))
    content[0x8000:0x8C00] = write_partition_table(parse_partition_csv(TABLE))
    flash.write_bytes(content)
    write_model_partition(models[:1], table, out=tmp_path / "model.bin", flash=flash)
    after = flash.read_bytes()
    assert after[:0x110000] == content[:0x110000]
    assert len(after) == 0x120000
    flash.write_bytes(bytes(content).replace(b"factory", b"ota_000"))
    with pytest.raises(EspdlError, match="the partition table is damaged"):
        write_model_partition(models[:1], table, out=tmp_path / "model.bin", flash=flash, force=True)
    other = parse_partition_csv(TABLE.replace("24K", "16K"))
    content[0x8000:0x8C00] = write_partition_table(other)
    flash.write_bytes(content)
    with pytest.raises(EspdlError, match="the image has another partition table"):
        write_model_partition(models[:1], table, out=tmp_path / "model.bin", flash=flash, force=True)
    assert flash.read_bytes() == content


def test_a_binary_table_serves_too(models: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "partition-table.bin"
    table.write_bytes(write_partition_table(parse_partition_csv(TABLE)))
    assert write_model_partition(models[:1], table, out=tmp_path / "model.bin").offset == 0x110000
    with pytest.raises(EspdlError, match=r"only partitions\.csv can be updated"):
        write_model_partition(models[:1], table, out=tmp_path / "model.bin", update=True, force=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"label": "weights"},
            r"there is no partition 'weights' .*'nvs', 'factory', 'model'.*\n.*weights, data, spiffs, , 4K",
        ),
        ({"flash_size": "1M"}, "partition 'factory' ends at 0x110000, and the flash has 0x100000 bytes"),
        ({"label": "nvs2", "update": True, "flash_size": "0x120000"}, "partition 'nvs2' ends at 0x121000"),
    ],
)
def test_what_does_not_work_writes_nothing(
    models: list[Path], table: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(EspdlError, match=message):
        write_model_partition(models[:1], table, out=tmp_path / "model.bin", **options)
    assert not (tmp_path / "model.bin").exists()
    assert table.read_text() == TABLE


def test_a_partition_that_is_too_small_is_told_with_the_row_that_would_do(
    models: list[Path], table: Path, tmp_path: Path
) -> None:
    table.write_text(TABLE.replace("64K", "4K"))
    with pytest.raises(
        EspdlError, match=r"the content has \d+ bytes, \d+ more than partition 'model'\n.*model, data, spiffs, , 8K"
    ):
        write_model_partition(models, table, out=tmp_path / "model.bin")
    done = write_model_partition(models, table, out=tmp_path / "model.bin", update=True)
    assert (done.size, done.updated) == (0x2000, True)
    assert table.read_text() == TABLE.replace("64K", "8K")


def test_an_update_keeps_other_lines_and_comments() -> None:
    assert update_partition_csv(TABLE, "model", 70_000) == TABLE.replace("64K", "72K")
    assert update_partition_csv(TABLE, "model", 1) == TABLE
    assert update_partition_csv(TABLE, "faces", 5000) == TABLE + "faces, data, spiffs, , 8K\n"
    with pytest.raises(EspdlError, match="partitions 'model' and 'log' overlap"):
        update_partition_csv(TABLE + "log, data, undefined, 0x120000, 4K\n", "model", 70_000)


def test_labels_that_are_not_there(models: list[Path], table: Path, tmp_path: Path) -> None:
    flash = tmp_path / "flash.bin"
    write_model_partition(models[:1], table, out=tmp_path / "model.bin", flash=flash)
    with pytest.raises(EspdlError, match="there is no partition 'modle'\n  try: one of 'nvs', 'factory', 'model'"):
        Model("modle", location=MODEL_LOCATION_IN_FLASH_PARTITION, flash=flash)
    short = tmp_path / "short.bin"
    short.write_bytes(flash.read_bytes()[:0x100000])
    with pytest.raises(
        EspdlError, match=r"'model' is not in the image \(it begins at 0x110000, and the image ends at 0x100000\)"
    ):
        Model("model", location=MODEL_LOCATION_IN_FLASH_PARTITION, flash=short)
